// Service colours: the hash of the name prefers a slot; collisions inside one set are resolved by probing in name order,
// so the same trace has the same colours for everyone. Red and amber are left out: they mean error and warning.

export const kSlots = 12;

export const kLightPalette = [
  '#2f6fde', '#0f8a7a', '#8a4fd3', '#3d8b23', '#c2409a', '#0b84a5',
  '#5a5fd0', '#6f7d12', '#a24bb8', '#1e8a54', '#5b7389', '#8d6a4f',
];
export const kDarkPalette = [
  '#6ea5ff', '#3cc8b4', '#b58cf5', '#7fce5e', '#f084cc', '#4fc3e6',
  '#979cff', '#b9c753', '#d694ea', '#57d08f', '#9bb3c9', '#cda988',
];

/** FNV-1a over the UTF-16 code units' bytes; small, and the same in every browser. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >> 8), 0x01000193);
  }
  // The low bits of FNV are weak: fold the high ones in.
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Slot of each service. Slots of 12 and above have the colour of slot - 12 with stripes. */
export function assign_slots(services: readonly string[]): Uint8Array {
  const order = services.map((_, index) => index).sort((a, b) => (services[a] < services[b] ? -1 : 1));
  const slots = new Uint8Array(services.length);
  let taken = new Uint8Array(kSlots);
  let used = 0;
  let ring = 0;
  for (const index of order) {
    if (used === kSlots) {
      taken = new Uint8Array(kSlots);
      used = 0;
      ring = 1;
    }
    let slot = fnv1a(services[index]) % kSlots;
    while (taken[slot]) slot = (slot + 1) % kSlots;
    taken[slot] = 1;
    used++;
    slots[index] = slot + ring * kSlots;
  }
  return slots;
}

function channel(value: number): number {
  const c = value / 255;
  return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
}

/** WCAG contrast of two #rrggbb colours. */
export function contrast(a: string, b: string): number {
  const light = [a, b].map((hex) => {
    const value = parseInt(hex.slice(1), 16);
    return 0.2126 * channel(value >> 16) + 0.7152 * channel((value >> 8) & 255) + 0.0722 * channel(value & 255);
  });
  return (Math.max(...light) + 0.05) / (Math.min(...light) + 0.05);
}
