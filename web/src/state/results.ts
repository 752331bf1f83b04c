import { batch, computed, signal } from '@preact/signals';
import { type ApiError, as_api_error, is_abort, search_traces } from '../api/client.ts';
import type { SearchStats, TraceSummary } from '../api/types.ts';
import { has_hint, is_sorted_by_server, sorted_query } from '../model/result_table.ts';
import { resolve_range, type TimeRange } from '../model/time_range.ts';
import { boot, now_ns } from './app.ts';

export const kPageSize = 50;

export interface Results {
  key: string;
  /** The page these results belong to, for the way back. */
  url: string;
  q: string;
  /** As in the URL; '': newest first. */
  sort: string;
  from: bigint;
  to: bigint;
  traces: TraceSummary[];
  cursor: string | null;
  stats: SearchStats | null;
  scroll: number;
}

/** The newest search: kept while a trace is open, so that going back finds the same list in the same place. */
export const results = signal<Results | null>(null);
export const searching = signal(false);
export const search_error = signal<ApiError | null>(null);
export const result_ids = computed(() => results.value?.traces.map((trace) => trace.id) ?? []);

let running: AbortController | null = null;

/** Columns that the server does not sort by leave its order as it is. */
export function search_key(q: string, range: TimeRange, sort: string): string {
  return `${range.from}|${range.to}|${sorted_query(q, sort).trim()}`;
}

export async function run_search(q: string, range: TimeRange, url: string, sort: string): Promise<void> {
  const { from, to } = resolve_range(range, now_ns());
  await collect({ key: search_key(q, range, sort), url, q, sort: is_sorted_by_server(q, sort) ? sort : '', from, to, traces: [], cursor: null, stats: null, scroll: 0 }, kPageSize);
}

export async function more_results(): Promise<void> {
  const now = results.value;
  if (!now || !now.cursor || searching.value) return;
  // A cursor is a place among the newest; other orders are asked for anew, with more of them.
  const most = boot.value?.limits.search_limit_max ?? kPageSize;
  if (sorted_query(now.q, now.sort) !== now.q || has_hint(now.q)) await collect({ ...now, traces: [], cursor: null }, Math.min(most, 2 * now.traces.length), now.traces.length);
  else await collect(now, kPageSize);
}

/** `shown_before`: so many stand on the page already, and are not taken away while they come again. */
async function collect(base: Results, limit: number, shown_before = 0): Promise<void> {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  batch(() => {
    searching.value = true;
    search_error.value = null;
  });
  const fresh = [...base.traces];
  let shown = 0;
  const show = (): void => {
    shown = performance.now();
    results.value = { ...base, traces: [...fresh] };
  };
  try {
    const ask = { q: sorted_query(base.q, base.sort), from: base.from, to: base.to, limit, cursor: base.cursor };
    const end = await search_traces(ask, (trace) => {
      fresh.push(trace);
      // Old results stay until there is something new to show; then at most ten times a second.
      if (fresh.length > shown_before && performance.now() - shown > 100) show();
    }, mine.signal);
    batch(() => {
      results.value = { ...base, traces: fresh, cursor: end.cursor, stats: end.stats };
      searching.value = false;
    });
  } catch (error) {
    if (is_abort(error) || mine.signal.aborted) return;
    batch(() => {
      search_error.value = as_api_error(error);
      searching.value = false;
    });
  }
}

export function cancel_search(): void {
  running?.abort();
  searching.value = false;
}

/** The result after (1) or before (-1) this trace; null when it is not in the results or at their end. */
export function neighbour(id: string, step: 1 | -1): string | null {
  const ids = result_ids.value;
  const at = ids.indexOf(id);
  return at < 0 ? null : (ids[at + step] ?? null);
}
