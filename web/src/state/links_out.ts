import { signal } from '@preact/signals';
import { type ApiError, as_api_error } from '../api/client.ts';
import { change_document, load_document } from '../api/documents.ts';
import { type LinkOut, links_of } from '../model/links_out.ts';
import { announce } from './app.ts';

const kLinks = 'settings/links';

/** Links to other systems: the server's, so that everyone has them. */
export const links_out = signal<LinkOut[]>([]);
export const links_error = signal<ApiError | null>(null);
let is_loaded = false;

export async function load_links(): Promise<void> {
  if (is_loaded) return;
  is_loaded = true;
  try {
    links_out.value = links_of((await load_document<unknown>(kLinks, [])).body);
  } catch (error) {
    is_loaded = false;
    links_error.value = as_api_error(error);
  }
}

async function change(edit: (list: LinkOut[]) => LinkOut[], said: string): Promise<boolean> {
  try {
    links_out.value = await change_document<LinkOut[]>(kLinks, [], (list) => edit(links_of(list)));
    links_error.value = null;
    announce(said);
    return true;
  } catch (error) {
    links_error.value = as_api_error(error);
    return false;
  }
}

export const save_link = (link: LinkOut): Promise<boolean> => change((list) => [...list.filter((one) => one.name !== link.name), link], `${link.name} is saved`);
export const remove_link = (name: string): Promise<boolean> => change((list) => list.filter((one) => one.name !== name), `${name} is removed`);
