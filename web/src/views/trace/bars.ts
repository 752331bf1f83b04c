import type { TimeScale } from '../../model/gaps.ts';
import { kFlagCritical, kFlagError, kFlagLate, kFlagUnended, type Trace } from '../../model/trace.ts';

/** What is drawn of one row: positions in CSS pixels from the left edge of the time axis. A display list, so that tests can read it. */
export interface Bar {
  row: number;
  x: number;
  width: number;
  slot: number;
  error: boolean;
  critical: boolean;
  dashed: boolean;
  /** Where the bar is when it cannot be seen: before or after the window. */
  outside: 'before' | 'after' | '';
  label: string;
  label_x: number;
  label_inside: boolean;
  /** Extents of hidden descendants below a collapsed row, as x, width pairs. */
  hidden: number[];
  /** A run of similar spans in one row: their extents, likewise. */
  members: number[];
}

export interface BarView {
  scale: TimeScale;
  /** Room to the right of the axis where a label may still stand. */
  margin: number;
}

export const kMinBar = 2;
const kLabelGap = 5;
const kHiddenSamples = 300;

export function bar_of(
  trace: Trace, row: number, view: BarView, collapsed: boolean, label: string, label_width: number,
): Bar {
  const start = trace.start[row];
  const is_run = collapsed && trace.children[row] === 0;
  const stop = is_run ? run_stop(trace, row) : start + trace.dur[row];
  const flags = trace.flags[row];
  const bar: Bar = {
    row, x: 0, width: 0, slot: trace.slots[trace.service[row]], error: (flags & kFlagError) !== 0,
    critical: (flags & kFlagCritical) !== 0, dashed: (flags & (kFlagUnended | kFlagLate)) !== 0,
    outside: '', label, label_x: 0, label_inside: false, hidden: [], members: [],
  };
  if (is_run) bar.members = extents(trace, row, view);
  else if (collapsed) bar.hidden = extents(trace, row + 1, view, trace.end[row]);
  const { scale } = view;
  if (stop < scale.from || start > scale.to) {
    bar.outside = stop < scale.from ? 'before' : 'after';
    return bar;
  }
  const left = Math.max(-4, view.scale.x(start));
  const right = Math.min(view.scale.width + 4, view.scale.x(stop));
  bar.x = left;
  bar.width = Math.max(kMinBar, right - left);
  if (bar.x + bar.width > view.scale.width + 4) bar.x = view.scale.width + 4 - bar.width;
  place_label(bar, view, label_width);
  return bar;
}

/** Right of the bar, else left of it, else inside. */
function place_label(bar: Bar, view: BarView, label_width: number): void {
  const right = bar.x + bar.width + kLabelGap;
  if (right + label_width <= view.scale.width + view.margin) {
    bar.label_x = right;
  } else if (bar.x - kLabelGap - label_width >= 0) {
    bar.label_x = bar.x - kLabelGap - label_width;
  } else {
    bar.label_x = Math.max(0, bar.x) + kLabelGap;
    bar.label_inside = true;
  }
}

function run_stop(trace: Trace, row: number): number {
  let stop = 0;
  for (let at = row; at < trace.fold_end(row); at++) stop = Math.max(stop, trace.start[at] + trace.dur[at]);
  return stop;
}

/** Shortest and longest of a run of similar spans. */
export function run_durations(trace: Trace, row: number): [number, number] {
  let low = Infinity;
  let high = 0;
  for (let at = row; at < trace.fold_end(row); at++) {
    low = Math.min(low, trace.dur[at]);
    high = Math.max(high, trace.dur[at]);
  }
  return [low, high];
}

/** Positions of many spans as x, width pairs; of very many, a regular sample. */
function extents(trace: Trace, from: number, view: BarView, end = trace.fold_end(from)): number[] {
  const stride = Math.max(1, Math.ceil((end - from) / kHiddenSamples));
  const out: number[] = [];
  for (let at = from; at < end; at += stride) {
    const left = Math.max(0, view.scale.x(trace.start[at]));
    const right = Math.min(view.scale.width, view.scale.x(trace.start[at] + trace.dur[at]));
    if (right < 0 || left > view.scale.width) continue;
    out.push(left, Math.max(1, right - left));
  }
  return out;
}
