import { type LinkOut, links_of } from '../model/links_out.ts';
import { SharedList } from './shared_list.ts';
import * as texts from '../texts/texts.ts';

/** Links to other systems. */
export const links_out = new SharedList<LinkOut>('settings/links', links_of);

export const save_link = (link: LinkOut): Promise<boolean> => links_out.change((list) => [...list.filter((one) => one.name !== link.name), link], texts.state.is_saved(link.name));
export const remove_link = (name: string): Promise<boolean> => links_out.change((list) => list.filter((one) => one.name !== name), texts.state.is_removed(name));
