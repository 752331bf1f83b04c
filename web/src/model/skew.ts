import type { Skeleton } from './slt1.ts';
import { kFlagSkewMoved, type Trace } from './trace.ts';

/** How far the clock of one process is off, as its spans tell: what is added to its times, in ns. */
export interface ClockShift {
  service: string;
  place: string;
  ns: number;
  spans: number;
}

export interface Corrected {
  skeleton: Skeleton;
  shifts: ClockShift[];
}

/**
 * The trace with the clocks of processes moved so that no span starts before the one that called it; null where none does.
 * A process keeps one shift as long as that agrees with its callers; a span that is not longer than its caller is put into
 * the middle of it, as a request and its answer take about the same time on the way.
 */
export function correct_clocks(skeleton: Skeleton, raw: Trace): Corrected | null {
  const n = raw.n;
  const shift = new Float64Array(n);
  const known = new Map<number, number>();
  const start = skeleton.start.slice();
  const flags = skeleton.flags.slice();
  const counts = new Map<number, ClockShift>();
  for (let row = 0; row < n; row++) {
    const parent = raw.parent[row];
    if (parent < 0) continue;
    shift[row] = raw.res[row] === raw.res[parent] ? shift[parent] : shift_of(raw, row, parent, shift[parent], known);
    start[row] += shift[row] - shift[parent];
    if (shift[row] === 0) continue;
    flags[row] |= kFlagSkewMoved;
    const known_shift = counts.get(raw.res[row]);
    if (known_shift) known_shift.spans++;
    else counts.set(raw.res[row], { service: raw.service_of(row), place: raw.resource_label(row), ns: shift[row], spans: 1 });
  }
  if (counts.size === 0) return null;
  return { skeleton: { ...skeleton, start, flags }, shifts: [...counts.values()].sort((a, b) => b.spans - a.spans) };
}

function shift_of(raw: Trace, row: number, parent: number, above: number, known: Map<number, number>): number {
  const usual = known.get(raw.res[row]) ?? 0;
  const caller = raw.start[parent] + above;
  if (raw.start[row] + usual >= caller) return usual;
  const room = Math.max(0, raw.dur[parent] - raw.dur[row]);
  const shift = Math.round(caller + room / 2 - raw.start[row]);
  known.set(raw.res[row], shift);
  return shift;
}
