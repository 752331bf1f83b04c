import { kFlagCritical, type Trace } from './trace.ts';

export type GroupBy = 'operation' | 'service' | 'resource' | 'kind' | 'name';

/** The spans of one operation (or service, …) of a trace, added up. Times in ns. */
export interface Group {
  key: string;
  /** A service of the group, whose colour it has; -1 where the group has none of its own. */
  service: number;
  service_name: string;
  name: string;
  count: number;
  errors: number;
  total: number;
  self: number;
  /** Time on the critical path that no critical child accounts for. */
  critical: number;
  p50: number;
  p95: number;
  max: number;
  /** The longest span of the group. */
  longest: number;
  /** All of its rows, in order. */
  rows: Uint32Array;
}

/** Groups the rows of `mask` (all where null), longest self time first. `labels`: the group of each row where it is by an attribute. */
export function group_spans(trace: Trace, by: GroupBy, mask: Uint8Array | null = null, labels: readonly string[] | null = null): Group[] {
  const critical = critical_times(trace);
  const members = new Map<string, number[]>();
  for (let row = 0; row < trace.n; row++) {
    if (mask && !mask[row]) continue;
    const key = labels ? (labels[row] ?? '') : key_of(trace, row, by);
    const rows = members.get(key);
    if (rows) rows.push(row);
    else members.set(key, [row]);
  }
  const groups = [...members].map(([key, rows]) => add_up(trace, key, by, rows, critical, labels !== null));
  return groups.sort((a, b) => b.self - a.self || (a.key < b.key ? -1 : 1));
}

function key_of(trace: Trace, row: number, by: GroupBy): string {
  switch (by) {
    case 'operation': return `${trace.service[row]} ${trace.name[row]}`;
    case 'service': return String(trace.service[row]);
    case 'resource': return String(trace.res[row]);
    case 'kind': return trace.kind_of(row);
    case 'name': return trace.name_of(row);
  }
}

function add_up(trace: Trace, key: string, by: GroupBy, rows: number[], critical: Float64Array, labelled: boolean): Group {
  const durations = Float64Array.from(rows, (row) => trace.dur[row]).sort();
  const first = rows[0];
  const owned = !labelled && (by === 'operation' || by === 'service' || by === 'resource');
  const group: Group = {
    key, service: owned ? trace.service[first] : -1, service_name: owned ? trace.service_of(first) : '',
    name: labelled ? key : name_of(trace, first, by), count: rows.length, errors: 0, total: 0, self: 0, critical: 0,
    p50: quantile(durations, 0.5), p95: quantile(durations, 0.95), max: durations[durations.length - 1], longest: first,
    rows: Uint32Array.from(rows),
  };
  for (const row of rows) {
    group.total += trace.dur[row];
    group.self += trace.self_time(row);
    group.critical += critical[row];
    if (trace.is_error(row)) group.errors++;
    if (trace.dur[row] > trace.dur[group.longest]) group.longest = row;
  }
  return group;
}

function name_of(trace: Trace, row: number, by: GroupBy): string {
  if (by === 'kind') return trace.kind_of(row);
  if (by === 'resource') return trace.resource_label(row);
  return by === 'service' ? '' : trace.name_of(row);
}

/** Of sorted values, the smallest that at least this share of them does not exceed. */
export function quantile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** Per row, the part of the critical path that runs in the span itself: its time less that of its critical children. */
export function critical_times(trace: Trace): Float64Array {
  const out = new Float64Array(trace.n);
  const reach = new Float64Array(trace.n).fill(-Infinity);
  for (let row = 0; row < trace.n; row++) {
    if (!trace.has(row, kFlagCritical)) continue;
    out[row] += trace.dur[row];
    const parent = trace.parent[row];
    if (parent < 0 || !trace.has(parent, kFlagCritical)) continue;
    const low = trace.start[parent];
    const from = Math.max(trace.start[row], low, reach[parent]);
    const to = Math.min(trace.start[row] + trace.dur[row], low + trace.dur[parent]);
    if (to > from) out[parent] -= to - from;
    if (to > reach[parent]) reach[parent] = to;
  }
  return out;
}
