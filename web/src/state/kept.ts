import { signal } from '@preact/signals';
import { as_api_error, type ApiError } from '../api/client.ts';
import { change_document, load_document } from '../api/documents.ts';
import { recent_searches, type SavedSearch, saved_searches, with_recent, with_saved, without_saved } from '../model/kept_searches.ts';
import { load_stored, store } from './app.ts';
import { SharedList } from './shared_list.ts';
import * as texts from '../texts/texts.ts';

// ---- searches by name: the server's, so that everyone has them ----
export const saved = new SharedList<SavedSearch>('searches/shared', saved_searches);

export const save_search = (search: SavedSearch): Promise<boolean> => saved.change((list) => with_saved(list, search), texts.state.saved_as(search.name.trim()));
export const forget_search = (name: string): Promise<boolean> => saved.change((list) => without_saved(list, name), texts.state.is_no_longer_saved(name));

// ---- what was searched in this browser ----
export const recent = signal(recent_searches(load_stored('recent-searches')));

export function remember_search(q: string): void {
  recent.value = with_recent(recent.peek(), q);
  store('recent-searches', JSON.stringify(recent.value));
}

export function forget_recent(): void {
  recent.value = [];
  store('recent-searches', '[]');
}

// ---- notes at a trace: the server's, too ----
export interface Note {
  span: string; // its id; "": of the whole trace
  name: string; // of the span
  text: string;
  at_ms: number;
}

export const kNoteMax = 2000;
export const notes = signal<{ trace: string; list: Note[]; error: ApiError | null }>({ trace: '', list: [], error: null });

function notes_of(value: unknown): Note[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one): one is Note => typeof one?.text === 'string' && typeof one?.span === 'string' && typeof one?.at_ms === 'number');
}

export async function load_notes(trace: string): Promise<void> {
  notes.value = { trace, list: [], error: null };
  try {
    const list = notes_of((await load_document<unknown>(`notes/${trace}`, [])).body);
    if (notes.peek().trace === trace) notes.value = { trace, list, error: null };
  } catch {
    return; // A trace is worth showing without its notes; writing one says what is wrong.
  }
}

async function change_notes(trace: string, edit: (list: Note[]) => Note[]): Promise<boolean> {
  try {
    const list = await change_document<Note[]>(`notes/${trace}`, [], (before) => edit(notes_of(before)));
    if (notes.peek().trace === trace) notes.value = { trace, list, error: null };
    return true;
  } catch (error) {
    notes.value = { ...notes.peek(), error: as_api_error(error) };
    return false;
  }
}

export const add_note = (trace: string, note: Note): Promise<boolean> => change_notes(trace, (list) => [...list, { ...note, text: note.text.trim().slice(0, kNoteMax) }]);
export const remove_note = (trace: string, note: Note): Promise<boolean> =>
  change_notes(trace, (list) => list.filter((one) => one.at_ms !== note.at_ms || one.text !== note.text || one.span !== note.span));
