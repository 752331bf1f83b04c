/** A search under a name, kept by the server for everyone. */
export interface SavedSearch {
  name: string;
  q: string;
}

export const kNameMax = 80;
export const kSavedMax = 200;
const kRecentMax = 12;

/** The list with the search in it: a name says one search, the newest one. */
export function with_saved(list: readonly SavedSearch[], added: SavedSearch): SavedSearch[] {
  const name = added.name.trim().slice(0, kNameMax);
  if (!name || !added.q.trim()) return [...list];
  return [...list.filter((one) => one.name !== name), { name, q: added.q.trim() }].sort((a, b) => a.name.localeCompare(b.name)).slice(0, kSavedMax);
}

export const without_saved = (list: readonly SavedSearch[], name: string): SavedSearch[] => list.filter((one) => one.name !== name);

/** What came from the server, or from another version of this page: only what is one. */
export function saved_searches(value: unknown): SavedSearch[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one): one is SavedSearch => typeof one?.name === 'string' && typeof one?.q === 'string');
}

/** Newest first, each once. */
export function with_recent(list: readonly string[], q: string): string[] {
  const text = q.trim();
  return text ? [text, ...list.filter((one) => one !== text)].slice(0, kRecentMax) : [...list];
}

export function recent_searches(text: string | null): string[] {
  try {
    const value: unknown = JSON.parse(text ?? '[]');
    return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
  } catch {
    return [];
  }
}
