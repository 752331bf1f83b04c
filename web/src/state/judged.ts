import { ApiError } from '../api/client.ts';
import { type PreviewAnswer, preview_rules, type PreviewCount } from '../api/keep.ts';
import type { SavedSearch } from '../model/kept_searches.ts';
import { saved } from './kept.ts';

const kSearchesMax = 50; // the server takes so many

/** What rules would keep, of everything and of what the saved searches find. */
export interface Judged {
  answer: PreviewAnswer;
  searches: { search: SavedSearch; count: PreviewCount }[];
  /** Names of those about which nothing is said: they find no traces (metrics, mistakes), or are too many. */
  left_out: string[];
}

export async function judge(rules: unknown, signal: AbortSignal, range: { from: bigint; to: bigint } | null): Promise<Judged> {
  await saved.load();
  const all = saved.list.peek();
  const asked = all.slice(0, kSearchesMax);
  const left_out = all.slice(kSearchesMax).map((one) => one.name);
  for (;;) {
    try {
      const answer = await preview_rules(rules, asked.map((one) => one.q), signal, range);
      return { answer, searches: asked.map((search, i) => ({ search, count: answer.by_search[i] })), left_out };
    } catch (error) {
      const refused = error instanceof ApiError && error.status === 400 ? /^searches\[(\d+)\]/.exec(error.message) : null;
      if (!refused) throw error;
      left_out.push(...asked.splice(Number(refused[1]), 1).map((one) => one.name));
    }
  }
}
