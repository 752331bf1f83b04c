import type { TraceSummary } from '../api/types.ts';

export const kResultColumns = ['start', 'service', 'name', 'duration', 'spans', 'errors', 'matched', 'services', 'id'] as const;
export type ResultColumn = (typeof kResultColumns)[number];
const kFirst: readonly ResultColumn[] = ['start', 'service', 'name', 'duration', 'spans', 'errors', 'services'];

/** The columns of the URL in their own order; the usual ones where it names none. */
export function columns_of(text: string): ResultColumn[] {
  const wanted = text.split(',');
  const found = kResultColumns.filter((column) => wanted.includes(column));
  return found.length ? found : [...kFirst];
}

export function columns_text(columns: readonly ResultColumn[]): string {
  const text = kResultColumns.filter((column) => columns.includes(column)).join(',');
  return text === kFirst.join(',') ? '' : text;
}

export function read_sort(text: string): [ResultColumn, 1 | -1] | null {
  const column = kResultColumns.find((name) => name === text.replace(/^-/, ''));
  return column ? [column, text.startsWith('-') ? -1 : 1] : null;
}

/** Largest first where that is asked for more often. */
export function next_sort(column: ResultColumn, now: [ResultColumn, 1 | -1] | null): string {
  const is_text = column === 'service' || column === 'name' || column === 'id';
  if (now?.[0] !== column) return is_text ? column : `-${column}`;
  const turned = now[1] === 1 ? `-${column}` : column;
  // A third press goes back to the order of the search.
  return (is_text ? now[1] === -1 : now[1] === 1) ? '' : turned;
}

/** What the server sorts by, over all that it finds; other columns are sorted here, of what is loaded. */
const kSortedByServer: Partial<Record<ResultColumn, string>> = { start: 'start', duration: 'duration', spans: 'spans', service: 'rootServiceName', name: 'rootName' };

/** Whether the query itself says how results are sorted, or has another hint that no second one can stand beside. */
export const has_hint = (q: string): boolean => /\bwith\s*\([^()]*\)\s*$/.test(q);

/** The query that has its results in this order, newest first where that is none the server knows. */
export function sorted_query(q: string, sort: string): string {
  const wanted = read_sort(sort);
  const key = wanted && kSortedByServer[wanted[0]];
  if (!key || sort === '-start' || has_hint(q)) return q;
  return `${q.trim() || '{ }'} with(sort="${key}", order="${wanted[1] === 1 ? 'asc' : 'desc'}")`;
}

/** Whether results come from the server in this order. */
export const is_sorted_by_server = (q: string, sort: string): boolean => sort === '' || sort === '-start' || sorted_query(q, sort) !== q;

/** The orders of a list, which has no columns to press. */
export const kListOrders = ['', '-duration', 'duration', '-spans', 'start'] as const;

const kValues: Record<ResultColumn, (trace: TraceSummary) => bigint | number | string> = {
  start: (trace) => BigInt(trace.start_ns), service: (trace) => trace.root_service ?? '', name: (trace) => trace.root_name ?? '', duration: (trace) => BigInt(trace.duration_ns),
  spans: (trace) => trace.spans, errors: (trace) => trace.errors, matched: (trace) => trace.matched, services: (trace) => trace.services.length, id: (trace) => trace.id,
};

export function sort_results(traces: readonly TraceSummary[], sort: [ResultColumn, 1 | -1] | null): TraceSummary[] {
  if (!sort) return [...traces];
  const value = kValues[sort[0]];
  return [...traces].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return x === y ? 0 : sort[1] * (x < y ? -1 : 1);
  });
}
