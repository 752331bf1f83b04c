import { signal } from '@preact/signals';
import { FileError, spans_of_file } from '../model/file_spans.ts';
import { type FileTrace, traces_of } from '../model/file_trace.ts';
import { announce } from './app.ts';
import { go } from './router.ts';
import * as texts from '../texts/texts.ts';

const kBytesMax = 512_000_000;

/** The file that was dropped on the page or chosen: read here, never sent anywhere. Lasts as long as the page. */
export const opened = signal<{ name: string; traces: FileTrace[] } | null>(null);
export const open_error = signal('');

export async function open_file(file: File): Promise<void> {
  open_error.value = '';
  try {
    if (file.size > kBytesMax) throw new FileError(texts.state.it_is_larger_than_512_mb);
    opened.value = { name: file.name, traces: traces_of(spans_of_file(await file.text())) };
    announce(texts.state.is_open(file.name));
  } catch (error) {
    opened.value = null;
    open_error.value = texts.state.could_not_be_opened(file.name, error instanceof Error ? error.message : String(error));
  }
  go('/file');
}

export function start_file_drop(): void {
  const { dataset } = document.documentElement;
  window.addEventListener('dragover', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    dataset.drop = 'here';
  });
  window.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) delete dataset.drop;
  });
  window.addEventListener('drop', (event) => {
    delete dataset.drop;
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    void open_file(file);
  });
}
