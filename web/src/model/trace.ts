import { assign_slots } from './colors.ts';
import type { Skeleton, SkeletonHeader } from './slt1.ts';
import * as texts from '../texts/texts.ts';

export const kFlagError = 1;
export const kFlagEvents = 1 << 4;
export const kFlagLinks = 1 << 5;
export const kFlagOrphan = 1 << 6;
export const kFlagUnended = 1 << 7;
export const kFlagLate = 1 << 8;
export const kFlagCritical = 1 << 9;
export const kFlagSkewMoved = 1 << 10;

const kLargeTrace = 2000;
const kFirstRows = 300;
/** So many equal leaf siblings in a row are folded into one line. */
export const kSimilarMin = 5;

const kCallKinds = ['client', 'producer'];
const kKinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

/**
 * One trace as typed columns; no object per span. Rows are in depth-first pre-order, so a subtree is the range [row, end[row]).
 * Lives as long as the trace page shows it; never changed after it is built.
 */
export class Trace {
  readonly header: SkeletonHeader;
  readonly n: number;
  readonly start: Float64Array;
  readonly dur: Float64Array;
  readonly parent: Int32Array;
  readonly depth: Uint32Array;
  /** Exclusive end of the subtree of each row. */
  readonly end: Uint32Array;
  readonly children: Uint32Array;
  readonly service: Uint16Array;
  readonly name: Uint32Array;
  readonly res: Uint32Array;
  readonly flags: Uint32Array;
  readonly max_depth: number;
  readonly duration: number;
  /** Earliest start, which is below 0 when a clock is ahead. */
  readonly first: number;
  readonly slots: Uint8Array;
  readonly error_rows: Uint32Array;
  /** Runs of similar leaf siblings: first row -> how many. */
  readonly similar = new Map<number, number>();
  /** First row of the run a row belongs to, or -1. */
  readonly run_of: Int32Array;
  private self_: Float64Array | null = null;

  constructor(skeleton: Skeleton) {
    const { header } = skeleton;
    const n = header.n;
    this.header = header;
    this.n = n;
    this.dur = skeleton.dur;
    this.name = skeleton.name;
    this.res = skeleton.res;
    this.flags = skeleton.flags;
    this.start = new Float64Array(n);
    this.parent = new Int32Array(n);
    this.depth = new Uint32Array(n);
    this.end = new Uint32Array(n);
    this.children = new Uint32Array(n);
    this.service = new Uint16Array(n);
    // Loops over a million rows: what they touch is named here, so that no step of them looks it up.
    const { start, dur, parent, depth, end, children, service, flags, res } = this;
    const { start: after_parent, up } = skeleton;
    const service_of = Uint16Array.from(header.resources, (resource) => resource.service);
    let deepest = 0;
    let first = Infinity;
    let last = -Infinity;
    let errors = 0;
    for (let row = 0; row < n; row++) {
      let begin = after_parent[row];
      if (up[row] === 0) parent[row] = -1;
      else {
        const above = row - up[row];
        begin += start[above];
        parent[row] = above;
        depth[row] = depth[above] + 1;
        children[above]++;
        if (depth[row] > deepest) deepest = depth[row];
      }
      start[row] = begin;
      service[row] = service_of[res[row]];
      if (begin < first) first = begin;
      if (begin + dur[row] > last) last = begin + dur[row];
      if (flags[row] & kFlagError) errors++;
    }
    for (let row = n - 1; row >= 0; row--) {
      if (end[row] <= row) end[row] = row + 1;
      const above = parent[row];
      if (above >= 0 && end[row] > end[above]) end[above] = end[row];
    }
    this.error_rows = new Uint32Array(errors);
    for (let row = 0, at = 0; row < n; row++) if (this.flags[row] & kFlagError) this.error_rows[at++] = row;
    this.max_depth = deepest;
    this.first = n ? Math.min(0, first) : 0;
    this.duration = Math.max(1, n ? last - this.first : 1, header.dur - this.first);
    this.slots = assign_slots(header.services);
    this.run_of = new Int32Array(n).fill(-1);
    this.find_runs();
  }

  /** Leaf siblings with the same name, resource's service and outcome, one after the other. */
  private find_runs(): void {
    const { n, children, parent, name, service, flags } = this;
    const alike = (a: number, b: number): boolean =>
      children[b] === 0 && parent[b] === parent[a] && name[b] === name[a] && service[b] === service[a] && ((flags[a] ^ flags[b]) & (kFlagError | kFlagOrphan)) === 0;
    for (let row = 0; row < n; ) {
      let stop = row + 1;
      if (children[row] === 0) while (stop < n && alike(row, stop)) stop++;
      if (stop - row >= kSimilarMin) {
        this.similar.set(row, stop - row);
        this.run_of.fill(row, row, stop);
      }
      row = stop;
    }
  }

  /** Whether a row hides others when it is collapsed: its subtree, or the run of similar siblings that it begins. */
  foldable(row: number): boolean {
    return this.children[row] > 0 || this.similar.has(row);
  }

  /** A run of calls one after the other that asks the same thing again and again: one question for all would do. */
  is_repeated_call(row: number): boolean {
    const size = this.similar.get(row);
    if (!size || kCallKinds.every((kind) => kind !== this.kind_of(row))) return false;
    for (let at = row + 1; at < row + size; at++) if (this.start[at] < this.start[at - 1] + this.dur[at - 1]) return false;
    return true;
  }

  /** Failed spans in the rows [from, to). */
  errors_between(from: number, to: number): number {
    return lower_bound(this.error_rows, to) - lower_bound(this.error_rows, from);
  }

  /** Exclusive end of what a collapsed row stands for. */
  fold_end(row: number): number {
    return this.children[row] > 0 ? this.end[row] : row + (this.similar.get(row) ?? 1);
  }

  name_of(row: number): string {
    return this.header.names[this.name[row]] || 'unnamed';
  }
  service_of(row: number): string {
    return this.header.services[this.service[row]] || texts.model.unknown_service;
  }
  resource_label(row: number): string {
    return this.header.resources[this.res[row]].label;
  }
  kind_of(row: number): string {
    return kKinds[(this.flags[row] >> 1) & 7] ?? 'unspecified';
  }
  is_error(row: number): boolean {
    return (this.flags[row] & kFlagError) !== 0;
  }
  has(row: number, flag: number): boolean {
    return (this.flags[row] & flag) !== 0;
  }

  /** Time inside the span that none of its direct children covers. */
  self_time(row: number): number {
    this.self_ ??= this.compute_self_times();
    return this.self_[row];
  }

  /** Siblings come sorted by start, so the covered part is one sweep per parent. */
  private compute_self_times(): Float64Array {
    const covered = new Float64Array(this.n);
    const reach = new Float64Array(this.n).fill(-Infinity);
    for (let row = 0; row < this.n; row++) {
      const parent = this.parent[row];
      if (parent < 0) continue;
      const low = this.start[parent];
      const high = low + this.dur[parent];
      const from = Math.max(this.start[row], low, reach[parent]);
      const to = Math.min(this.start[row] + this.dur[row], high);
      if (to > from) covered[parent] += to - from;
      if (to > reach[parent]) reach[parent] = to;
    }
    const self = new Float64Array(this.n);
    for (let row = 0; row < this.n; row++) self[row] = Math.max(0, this.dur[row] - covered[row]);
    return self;
  }

  /** Rows whose name, service or resource contains the text, in row order; matching happens once per distinct string. */
  find(text: string): Uint32Array {
    const needle = text.trim().toLowerCase();
    if (!needle) return new Uint32Array(0);
    const hit = (value: string): number => (value.toLowerCase().includes(needle) ? 1 : 0);
    const names = Uint8Array.from(this.header.names, hit);
    const services = Uint8Array.from(this.header.services, hit);
    const resources = Uint8Array.from(this.header.resources, (r) => hit(r.label) | services[r.service]);
    const out: number[] = [];
    for (let row = 0; row < this.n; row++) if (names[this.name[row]] | resources[this.res[row]]) out.push(row);
    return Uint32Array.from(out);
  }

  service_counts(): { service: number; spans: number; errors: number }[] {
    const spans = new Uint32Array(this.header.services.length);
    const errors = new Uint32Array(this.header.services.length);
    for (let row = 0; row < this.n; row++) {
      spans[this.service[row]]++;
      if (this.flags[row] & kFlagError) errors[this.service[row]]++;
    }
    return [...spans]
      .map((count, service) => ({ service, spans: count, errors: errors[service] }))
      .filter((entry) => entry.spans > 0)
      .sort((a, b) => b.spans - a.spans);
  }
}

function lower_bound(rows: Uint32Array, row: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The rows to show when the subtrees of `collapsed` rows are hidden. */
export function visible_rows(trace: Trace, collapsed: Uint8Array): Uint32Array {
  const out = new Uint32Array(trace.n);
  let count = 0;
  for (let row = 0; row < trace.n; ) {
    out[count++] = row;
    row = collapsed[row] ? trace.fold_end(row) : row + 1;
  }
  return out.subarray(0, count);
}

/** Position of `row` in the sorted list, or of the nearest entry before it. */
export function position_of(rows: Uint32Array, row: number): number {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle] <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Opens every ancestor of the row; says whether anything changed. */
export function reveal(trace: Trace, collapsed: Uint8Array, row: number): boolean {
  let changed = false;
  const run = trace.run_of[row];
  if (run >= 0 && run !== row && collapsed[run]) {
    collapsed[run] = 0;
    changed = true;
  }
  for (let at = trace.parent[row]; at >= 0; at = trace.parent[at]) {
    if (collapsed[at]) {
      collapsed[at] = 0;
      changed = true;
    }
  }
  return changed;
}

/** Runs of similar siblings folded, everything else open. */
export function fold_similar(trace: Trace): Uint8Array {
  const collapsed = new Uint8Array(trace.n);
  for (const row of trace.similar.keys()) collapsed[row] = 1;
  return collapsed;
}

/** How a trace is first shown: runs folded, and a large trace folded to the deepest level that keeps it a page or two long. */
export function first_folds(trace: Trace): Uint8Array {
  if (trace.n <= kLargeTrace) return fold_similar(trace);
  let best = collapse_below(trace, 1);
  for (let depth = 2; depth <= trace.max_depth; depth++) {
    const next = collapse_below(trace, depth);
    if (visible_rows(trace, next).length > kFirstRows) break;
    best = next;
  }
  return best;
}

/** Collapses all rows of at least this depth that have children, and every run of similar siblings. */
export function collapse_below(trace: Trace, depth: number): Uint8Array {
  const collapsed = fold_similar(trace);
  for (let row = 0; row < trace.n; row++) {
    if (trace.children[row] > 0 && trace.depth[row] >= depth) collapsed[row] = 1;
  }
  return collapsed;
}
