import { letter_keys, open_dialog } from './app.ts';

export type KeyMap = Record<string, (event: KeyboardEvent) => void>;

/** Maps of the pages that are shown now; the last one is asked first. */
const maps: KeyMap[] = [];

export function push_keys(map: KeyMap): () => void {
  maps.push(map);
  return () => {
    const at = maps.indexOf(map);
    if (at >= 0) maps.splice(at, 1);
  };
}

function in_text_field(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button', 'submit', 'range'].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

const kChordMs = 1200;

function handle(event: KeyboardEvent, key: string): boolean {
  for (let i = maps.length - 1; i >= 0; i--) {
    const handler = maps[i][key];
    if (!handler) continue;
    handler(event);
    // A handler that has nothing to do with the focused part leaves the key to the next map.
    if (event.defaultPrevented) return true;
  }
  return false;
}

export function start_keys(): void {
  /** When g was pressed: the next letter then is of a chord, whatever it means alone. */
  let begun = -Infinity;
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      open_dialog.value = open_dialog.value === 'palette' ? 'none' : 'palette';
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || open_dialog.value !== 'none' || in_text_field(event.target)) return;
    if (event.key.length === 1 && !letter_keys.value) return;
    const is_second = performance.now() - begun < kChordMs;
    begun = event.key === 'g' && !is_second ? performance.now() : -Infinity;
    if (is_second && handle(event, `g ${event.key}`)) return;
    handle(event, event.key);
  });
}
