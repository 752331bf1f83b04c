import { computed, effect, signal } from '@preact/signals';
import { as_api_error, type ApiError, fetch_boot } from '../api/client.ts';
import type { Boot } from '../api/types.ts';
import { write_times_in_utc } from '../model/format.ts';
import { kDefaultRange, resolve_range, type TimeRange } from '../model/time_range.ts';
import { place, replace } from './router.ts';
import { with_query } from '../model/url.ts';

// ---- what the server said at the start ----
export const boot = signal<Boot | null>(null);
export const boot_error = signal<ApiError | null>(null);
let clock_offset_ms = 0;

export async function load_boot(): Promise<void> {
  try {
    const answer = await fetch_boot();
    clock_offset_ms = Number(BigInt(answer.now_ns) / 1000000n) - Date.now();
    if (Math.abs(clock_offset_ms) < 2000) clock_offset_ms = 0;
    boot.value = answer;
    boot_error.value = null;
  } catch (error) {
    boot_error.value = as_api_error(error);
  }
}

/** The server's time: ranges are resolved by it, so a laptop with a wrong clock sees the right hour. */
export function now_ns(): bigint {
  return BigInt(Math.round(Date.now() + clock_offset_ms)) * 1000000n;
}

// ---- one time range for all pages, in the URL ----
let last_range: TimeRange = kDefaultRange;

export const range = computed<TimeRange>(() => {
  const { params, path } = place.value;
  if (path.startsWith('/trace/')) return last_range;
  const from = params.get('from');
  const to = params.get('to');
  if (from || to) last_range = { from: from ?? kDefaultRange.from, to: to ?? kDefaultRange.to };
  else last_range = kDefaultRange;
  return last_range;
});

export function set_range(next: TimeRange): void {
  const params = new URLSearchParams(place.value.params);
  if (next.from === kDefaultRange.from) params.delete('from');
  else params.set('from', next.from);
  if (next.to === kDefaultRange.to) params.delete('to');
  else params.set('to', next.to);
  replace(with_query(place.value.path, params));
}

/** The address of what is shown, for others. `is_fixed`: relative times become what they are now, so that it shows the same later. */
export function link_here(is_fixed: boolean): string {
  const { path, params } = place.peek();
  if (!is_fixed) return location.origin + with_query(path, params);
  const { from, to } = resolve_range(range.peek(), now_ns());
  const fixed = new URLSearchParams(params);
  fixed.set('from', String(from));
  fixed.set('to', String(to));
  return location.origin + with_query(path, fixed);
}

/** A link to a page that keeps the time range. */
export function page_link(path: string, extra: Record<string, string> = {}): string {
  const params = new URLSearchParams(extra);
  const { from, to } = range.value;
  if (from !== kDefaultRange.from) params.set('from', from);
  if (to !== kDefaultRange.to) params.set('to', to);
  return with_query(path, params);
}

// ---- preferences of this browser ----
function stored(key: string): string | null {
  try {
    return localStorage.getItem(`spanloom.${key}`);
  } catch {
    return null; // Storage can be switched off; preferences then last as long as the page.
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(`spanloom.${key}`, value);
  } catch {
    return;
  }
}

export const load_stored = stored;

export type Theme = 'auto' | 'light' | 'dark';
const theme_now = stored('theme');
export const theme = signal<Theme>(theme_now === 'light' || theme_now === 'dark' ? theme_now : 'auto');
const prefers_dark = matchMedia('(prefers-color-scheme: dark)');
const system_dark = signal(prefers_dark.matches);
prefers_dark.addEventListener('change', () => (system_dark.value = prefers_dark.matches));
export const dark = computed(() => (theme.value === 'auto' ? system_dark.value : theme.value === 'dark'));

export type Contrast = 'auto' | 'normal' | 'high';
const contrast_now = stored('contrast');
export const contrast = signal<Contrast>(contrast_now === 'normal' || contrast_now === 'high' ? contrast_now : 'auto');
const prefers_contrast = matchMedia('(prefers-contrast: more)');
const system_contrast = signal(prefers_contrast.matches);
prefers_contrast.addEventListener('change', () => (system_contrast.value = prefers_contrast.matches));
export const high_contrast = computed(() => (contrast.value === 'auto' ? system_contrast.value : contrast.value === 'high'));

/** Changes with everything that colours depend on: for what draws on a canvas. */
export const look = computed(() => ({ dark: dark.value, high_contrast: high_contrast.value }));

export const utc = signal(stored('utc') === 'on');

export const letter_keys = signal(stored('letter-keys') !== 'off');

effect(() => {
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
});
effect(() => {
  document.documentElement.dataset.contrast = high_contrast.value ? 'high' : 'normal';
});
effect(() => write_times_in_utc(utc.value));
effect(() => store('theme', theme.value));
effect(() => store('contrast', contrast.value));
effect(() => store('utc', utc.value ? 'on' : 'off'));
effect(() => store('letter-keys', letter_keys.value ? 'on' : 'off'));

export function next_theme(): void {
  theme.value = dark.value ? 'light' : 'dark';
}

// ---- one polite live region ----
export const announcement = signal('');
export function announce(text: string): void {
  // The same words twice in a row are read again only when they differ.
  announcement.value = announcement.value === text ? `${text} ` : text;
}

// ---- what can be done on the page that is shown, for Ctrl+K ----
export interface Command {
  label: string;
  note: string;
  run: () => void;
}
export const page_commands = signal<readonly Command[]>([]);

// ---- dialogs ----
export const open_dialog = signal<'none' | 'help' | 'palette'>('none');

export const narrow = signal(false);
const narrow_query = matchMedia('(max-width: 760px)');
narrow.value = narrow_query.matches;
narrow_query.addEventListener('change', () => (narrow.value = narrow_query.matches));
