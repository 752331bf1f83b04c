import { signal } from '@preact/signals';
import { type ApiError, as_api_error } from '../api/client.ts';
import { change_document, load_document } from '../api/documents.ts';
import { announce } from './app.ts';

/** A list that the server keeps for everyone who uses it, in one document. Loaded when it is first needed, for as long as the page lives. */
export class SharedList<T> {
  readonly list = signal<T[]>([]);
  readonly error = signal<ApiError | null>(null);
  private is_loaded = false;
  private readonly path: string;
  private readonly read: (body: unknown) => T[];

  /** `read`: what of a document, which another version of this page may have written, is of the list. */
  constructor(path: string, read: (body: unknown) => T[]) {
    this.path = path;
    this.read = read;
  }

  async load(): Promise<void> {
    if (this.is_loaded) return;
    this.is_loaded = true;
    try {
      this.list.value = this.read((await load_document<unknown>(this.path, [])).body);
    } catch (error) {
      this.is_loaded = false;
      this.error.value = as_api_error(error);
    }
  }

  /** Changes what everyone has and says so; false where that failed, with `error` saying why. */
  async change(edit: (list: T[]) => T[], said: string): Promise<boolean> {
    try {
      this.list.value = await change_document<T[]>(this.path, [], (list) => edit(this.read(list)));
      this.error.value = null;
      announce(said);
      return true;
    } catch (error) {
      this.error.value = as_api_error(error);
      return false;
    }
  }
}
