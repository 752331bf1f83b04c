import { batch, computed, signal } from '@preact/signals';
import { fetch_baseline, fetch_rows, find_rows } from '../../api/client.ts';
import type { SpanRow } from '../../api/types.ts';
import { type ClockShift, correct_clocks } from '../../model/skew.ts';
import type { Skeleton } from '../../model/slt1.ts';
import { read_folds, write_folds } from '../../model/folds.ts';
import { collapse_below, first_folds, position_of, reveal, Trace, visible_rows } from '../../model/trace.ts';
import { Usual } from '../../model/usual.ts';
import { idle_gaps } from '../../model/gaps.ts';
import { kept_rows, type Reduce } from '../../model/reduce.ts';
import { read_trace, type TraceView, with_query, write_trace } from '../../model/url.ts';
import { announce } from '../../state/app.ts';
import { place, replace } from '../../state/router.ts';
import { count } from '../../model/format.ts';
import * as texts from '../../texts/texts.ts';

const kDetailCache = 500;
const kDetailDelayMs = 60;
const kUrlDelayMs = 160;
const kFindDelayMs = 200;
const kFindInsideMin = 2;

/** Sorted rows, and those of the ranges. `n`: how many there are. */
function with_ranges(n: number, rows: Uint32Array, ranges: number[]): Uint32Array {
  if (ranges.length === 0) return rows;
  const mask = new Uint8Array(n);
  for (const row of rows) mask[row] = 1;
  for (let i = 0; i < ranges.length; i += 2) mask.fill(1, ranges[i], ranges[i + 1]);
  const out = new Uint32Array(n);
  let count = 0;
  for (let row = 0; row < n; row++) if (mask[row]) out[count++] = row;
  return out.subarray(0, count);
}

/** Where what the columns do not hold comes from. */
export interface Source {
  /** Whether the server has the trace; else it is from a file. */
  is_stored: boolean;
  read: (rows: number[], signal?: AbortSignal) => Promise<SpanRow[]>;
  /** Rows that hold a text anywhere: pairs of the first row and the one after the last. */
  find: (text: string, signal: AbortSignal) => Promise<number[]>;
}

export const stored = (id: string): Source => ({ is_stored: true, read: (rows, signal) => fetch_rows(id, rows, signal), find: (text, signal) => find_rows(id, text, signal) });

/** What the trace page shows of one trace: selection, window, folds and matches. Every part of it is shared by all views and in the URL. */
export class ViewState {
  readonly trace: Trace;
  readonly id: string;
  readonly skeleton: Skeleton;
  readonly source: Source;
  /** Clocks that are off, as far as the spans tell. */
  readonly clocks: ClockShift[];
  /** Whether `trace` has them set right. */
  readonly is_corrected: boolean;
  /** What the operations of the trace usually take; null until it is known. */
  readonly usual = signal<Usual | null>(null);
  readonly selected = signal(0);
  readonly window = signal<[number, number]>([0, 1]);
  readonly collapsed = signal<Uint8Array>(new Uint8Array(0));
  readonly find = signal('');
  readonly match_at = signal(-1);
  readonly detail = signal<SpanRow | null>(null);
  readonly writing_note = signal(false);
  readonly detail_error = signal('');
  readonly panel = signal(false);
  readonly view = signal<TraceView>('waterfall');
  readonly reduce = signal<Reduce>('all');
  readonly short_gaps = signal(true);
  readonly merged = signal(false);
  readonly group_by = signal('operation');
  /** The column that the table is sorted by; with - before it: the largest first. */
  readonly table_sort = signal('-self');
  /** Services that the graph shows the operations of. */
  readonly opened = signal<ReadonlySet<number>>(new Set());
  readonly gaps = computed(() => idle_gaps(this.trace));
  readonly kept = computed(() => kept_rows(this.trace, this.reduce.value, this.match_mask.value));
  readonly rows = computed(() => {
    const rows = visible_rows(this.trace, this.collapsed.value);
    const kept = this.kept.value;
    return kept ? rows.filter((row) => kept[row] === 1) : rows;
  });
  /** Rows that hold the text in what the columns do not have: attributes, events, ids. */
  readonly found_inside = signal<{ text: string; ranges: number[] }>({ text: '', ranges: [] });
  readonly matches = computed(() => {
    const { text, ranges } = this.found_inside.value;
    return with_ranges(this.trace.n, this.trace.find(this.find.value), text === this.find.value.trim() ? ranges : []);
  });
  readonly match_mask = computed(() => {
    if (!this.find.value.trim()) return null;
    const mask = new Uint8Array(this.trace.n);
    for (const row of this.matches.value) mask[row] = 1;
    return mask;
  });
  private readonly folds = computed(() => write_folds(this.trace, this.collapsed.value));
  readonly full = computed(() => {
    const [from, to] = this.window.value;
    return to - from >= this.trace.duration * 0.9999;
  });
  private readonly details = new Map<number, SpanRow>();
  private detail_timer = 0;
  private url_timer = 0;
  private find_timer = 0;
  private finding: AbortController | null = null;
  private span_id = '';
  private fetching: AbortController | null = null;

  constructor(id: string, skeleton: Skeleton, source: Source) {
    this.id = id;
    this.skeleton = skeleton;
    this.source = source;
    const raw = new Trace(skeleton);
    const corrected = skeleton.header.signed ? correct_clocks(skeleton, raw) : null;
    this.clocks = corrected?.shifts ?? [];
    this.is_corrected = corrected !== null && read_trace(place.value.params).clocks;
    const trace = corrected && this.is_corrected ? new Trace(corrected.skeleton) : raw;
    this.trace = trace;
    const state = read_trace(place.value.params);
    const low = trace.first;
    const high = low + trace.duration;
    this.window.value = state.window ? [Math.max(low, state.window[0]), Math.min(high, state.window[1])] : [low, high];
    if (this.window.value[0] >= this.window.value[1]) this.window.value = [low, high];
    const folds = (state.folds && read_folds(trace, state.folds)) || first_folds(trace);
    this.find.value = state.find;
    this.view.value = state.view;
    this.reduce.value = state.reduce;
    this.short_gaps.value = state.gaps;
    this.merged.value = state.merged;
    this.group_by.value = state.by;
    this.table_sort.value = state.sort;
    this.opened.value = new Set(state.into.map((name) => trace.header.services.indexOf(name)).filter((service) => service >= 0));
    const row = trace.header.sel >= 0 && trace.header.sel < trace.n ? trace.header.sel : 0;
    reveal(trace, folds, row);
    this.collapsed.value = folds;
    this.selected.value = row;
    if (trace.header.sel >= 0) this.span_id = state.span;
    this.load_detail();
    if (this.find.value) this.find_inside();
  }

  /** Selection, folds and details of a state of the same rows. */
  take_over(before: ViewState): void {
    batch(() => {
      this.collapsed.value = before.collapsed.value;
      this.selected.value = before.selected.value;
      this.detail.value = before.detail.value;
      this.usual.value = before.usual.value;
      this.found_inside.value = before.found_inside.value;
    });
    this.span_id = before.span_id;
    this.load_detail();
  }

  destroy(): void {
    clearTimeout(this.detail_timer);
    clearTimeout(this.url_timer);
    clearTimeout(this.find_timer);
    this.fetching?.abort();
    this.finding?.abort();
  }

  // ---- selection ----

  select(row: number): void {
    if (row < 0 || row >= this.trace.n) return;
    const collapsed = this.collapsed.value;
    batch(() => {
      if (reveal(this.trace, collapsed, row)) this.collapsed.value = collapsed.slice();
      if (this.kept.value?.[row] === 0) this.set_reduce('all');
      this.selected.value = row;
    });
    this.span_id = '';
    clearTimeout(this.detail_timer);
    this.detail_timer = window.setTimeout(() => this.load_detail(), this.details.has(row) ? 0 : kDetailDelayMs);
  }

  move(step: number): void {
    const rows = this.rows.value;
    if (rows.length === 0) return;
    const next = Math.max(0, Math.min(rows.length - 1, position_of(rows, this.selected.value) + step));
    this.select(rows[next]);
  }

  /** Next (1) or previous (-1) row of a sorted list, around the ends. */
  jump(list: Uint32Array, step: 1 | -1, what: string): void {
    if (list.length === 0) {
      announce(texts.trace.no(what));
      return;
    }
    const row = this.selected.value;
    let at = position_of(list, row);
    if (step === 1) at = list[at] > row ? at : at + 1;
    else at = list[at] < row ? at : at - 1;
    at = (at + list.length) % list.length;
    this.select(list[at]);
    announce(texts.trace.place_in_list(what, count(at + 1), count(list.length)));
  }

  next_match(step: 1 | -1): void {
    this.jump(this.matches.value, step, texts.trace.match);
    if (this.matches.value.length) this.match_at.value = position_of(this.matches.value, this.selected.value);
  }

  next_error(step: 1 | -1): void {
    this.jump(this.trace.error_rows, step, texts.trace.error_place);
  }

  set_find(text: string): void {
    batch(() => {
      this.find.value = text;
      this.match_at.value = -1;
    });
    if (text.trim()) announce(texts.counts.matches(this.matches.value.length));
    this.find_inside();
    this.write_url();
  }

  /** Asks for what the columns do not hold. Without an answer the names are still searched. */
  private find_inside(): void {
    clearTimeout(this.find_timer);
    this.finding?.abort();
    const text = this.find.value.trim();
    if (text.length < kFindInsideMin || this.found_inside.value.text === text) return;
    const finding = new AbortController();
    this.finding = finding;
    this.find_timer = window.setTimeout(() => {
      this.source.find(text, finding.signal)
        .then((ranges) => {
          if (finding.signal.aborted) return;
          const before = this.matches.value.length;
          this.found_inside.value = { text, ranges };
          if (this.matches.value.length !== before) announce(texts.counts.matches(this.matches.value.length));
        })
        .catch(() => undefined);
    }, kFindDelayMs);
  }

  // ---- folding ----

  toggle(row: number): void {
    const next = this.collapsed.value.slice();
    next[row] = next[row] ? 0 : 1;
    this.fold(next);
  }

  /** Hides what is below; the selection moves to the row that hides it. */
  fold(collapsed: Uint8Array): void {
    let row = this.selected.value;
    const run = this.trace.run_of[row];
    if (run >= 0 && collapsed[run]) row = run;
    for (let at = this.trace.parent[row]; at >= 0; at = this.trace.parent[at]) if (collapsed[at]) row = at;
    batch(() => {
      this.collapsed.value = collapsed;
      if (row !== this.selected.value) this.select(row);
    });
    this.write_url();
  }

  collapse_to(depth: number): void {
    this.fold(collapse_below(this.trace, depth));
  }

  unfold_all(): void {
    this.fold(new Uint8Array(this.trace.n));
  }

  /** Goes through the levels: only roots, one level, two levels, everything. */
  next_level(): void {
    const rows = this.rows.value.length;
    const max = Math.min(3, this.trace.max_depth);
    for (let depth = 0; depth < max; depth++) {
      const next = collapse_below(this.trace, depth);
      const shown = visible_rows(this.trace, next).length;
      if (rows === this.trace.n || shown > rows) {
        this.fold(next);
        announce(texts.trace.rows_shown(texts.counts.rows(shown)));
        return;
      }
    }
    this.fold(new Uint8Array(this.trace.n));
    announce(texts.trace.all_rows_shown);
  }

  left(): void {
    const row = this.selected.value;
    if (this.trace.foldable(row) && !this.collapsed.value[row]) this.toggle(row);
    else if (this.trace.parent[row] >= 0) this.select(this.trace.parent[row]);
  }

  right(): void {
    const row = this.selected.value;
    if (this.collapsed.value[row]) this.toggle(row);
    else if (this.trace.children[row] > 0) this.select(row + 1);
  }

  // ---- what is shown ----

  show(view: TraceView): void {
    if (view === this.view.value) return;
    this.view.value = view;
    announce(texts.trace.view_shown(texts.trace.views[view]));
    this.write_url();
  }

  set_reduce(reduce: Reduce): void {
    this.reduce.value = reduce;
    announce(texts.trace.rows_shown(texts.counts.rows(this.rows.value.length)));
    this.write_url();
  }

  set_short_gaps(on: boolean): void {
    this.short_gaps.value = on;
    this.write_url();
  }

  set_merged(on: boolean): void {
    this.merged.value = on;
    this.write_url();
  }

  set_group_by(by: string): void {
    this.group_by.value = by;
    this.write_url();
  }

  set_table_sort(sort: string): void {
    this.table_sort.value = sort;
    this.write_url();
  }

  /** Shows the operations of a service in the graph, or the service as one again. */
  toggle_service(service: number): void {
    const next = new Set(this.opened.value);
    if (!next.delete(service)) next.add(service);
    this.opened.value = next;
    this.write_url();
  }

  // ---- window ----

  set_window(from: number, to: number): void {
    this.window.value = [from, to];
    this.write_url();
  }

  show_all(): void {
    this.set_window(this.trace.first, this.trace.first + this.trace.duration);
  }

  fit(row: number): void {
    let low = this.trace.start[row];
    let high = low + this.trace.dur[row];
    for (let at = row + 1; at < this.trace.end[row]; at++) {
      low = Math.min(low, this.trace.start[at]);
      high = Math.max(high, this.trace.start[at] + this.trace.dur[at]);
    }
    const room = Math.max(10, (high - low) * 0.04);
    const first = this.trace.first;
    this.set_window(Math.max(first, low - room), Math.min(first + this.trace.duration, high + room));
  }

  // ---- details of the selected row ----

  private load_detail(): void {
    const row = this.selected.value;
    const known = this.details.get(row);
    this.detail_error.value = '';
    if (known) {
      this.show_detail(known);
      return;
    }
    this.fetching?.abort();
    const fetching = new AbortController();
    this.fetching = fetching;
    this.source.read([row], fetching.signal)
      .then((rows) => {
        if (fetching.signal.aborted || !rows[0]) return;
        if (this.details.size >= kDetailCache) this.details.clear();
        this.details.set(row, rows[0]);
        this.show_detail(rows[0]);
      })
      .catch((error: Error) => {
        if (!fetching.signal.aborted) this.detail_error.value = error.message;
      });
  }

  private show_detail(row: SpanRow): void {
    const first = this.detail.value === null;
    this.detail.value = row;
    // The root that is selected at the start says nothing that the plain link does not say.
    if (!(first && row.row === 0 && this.span_id === '')) this.span_id = row.span_id;
    this.write_url();
  }

  private write_url(): void {
    clearTimeout(this.url_timer);
    this.url_timer = window.setTimeout(() => {
      const { path } = place.value;
      if (path.startsWith(`/trace/${this.id}`)) replace(this.link());
    }, kUrlDelayMs);
  }

  link(): string {
    const window = this.full.value ? null : this.window.value;
    // The clocks are the URL's to say: this state may be about to go because they changed.
    const { clocks } = read_trace(place.value.params);
    const params = write_trace({
      span: this.span_id, window, find: this.find.value, view: this.view.value, reduce: this.reduce.value, gaps: this.short_gaps.value,
      merged: this.merged.value, by: this.group_by.value, sort: this.table_sort.value, folds: this.folds.value, into: [...this.opened.value].map((service) => this.trace.header.services[service]), clocks,
    }, place.value.params);
    return with_query(`/trace/${this.id}`, params);
  }

  /** Asks once what is usual; a trace is worth showing without it. */
  load_usual(): void {
    if (this.usual.value || !this.source.is_stored) return;
    fetch_baseline(this.id).then((list) => (this.usual.value = new Usual(list))).catch(() => undefined);
  }

  link_to_span(): string {
    const detail = this.detail.value;
    const span = detail && detail.row === this.selected.value ? detail.span_id : this.span_id;
    return `${location.origin}/trace/${this.id}${span ? `?span=${span}` : ''}`;
  }
}
