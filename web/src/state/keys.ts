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

export function start_keys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      open_dialog.value = open_dialog.value === 'palette' ? 'none' : 'palette';
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || open_dialog.value !== 'none' || in_text_field(event.target)) return;
    if (event.key.length === 1 && !letter_keys.value) return;
    for (let i = maps.length - 1; i >= 0; i--) {
      const handler = maps[i][event.key];
      if (!handler) continue;
      handler(event);
      // A handler that has nothing to do with the focused part leaves the key to the next map.
      if (event.defaultPrevented) return;
    }
  });
}
