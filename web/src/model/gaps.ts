import type { Trace } from './trace.ts';

/** A part of the time axis that is drawn short: nothing of the trace runs in it. In ns. */
export interface Gap {
  from: number;
  to: number;
}

/** Shorter than this share of the trace, a pause is drawn as it is. */
const kGapShare = 0.05;

/** Parts of the trace's time that are looked at each as a whole; a gap that counts is many of them long. */
const kParts = 4096;

/** The times inside the trace in which no span runs, longest ones only, in order. */
export function idle_gaps(trace: Trace): Gap[] {
  const part = Math.max(1, trace.duration) / (kParts - 1);
  const at = (ns: number): number => Math.max(0, Math.min(kParts - 1, Math.floor((ns - trace.first) / part)));
  // How many spans begin in a part less those that have ended before it; where spans begin and end in it.
  const change = new Int32Array(kParts + 1);
  const earliest = new Float64Array(kParts).fill(Infinity);
  const latest = new Float64Array(kParts).fill(-Infinity);
  for (let row = 0; row < trace.n; row++) {
    const start = trace.start[row];
    const stop = start + trace.dur[row];
    const [first, last] = [at(start), at(stop)];
    change[first]++;
    change[last + 1]--;
    if (start < earliest[first]) earliest[first] = start;
    if (stop > latest[last]) latest[last] = stop;
  }
  const gaps: Gap[] = [];
  let running = 0;
  let reach = -Infinity;
  for (let i = 0; i < kParts; i++) {
    const was = running;
    running += change[i];
    if (running > 0 && was === 0 && earliest[i] - reach > trace.duration * kGapShare && reach > -Infinity) gaps.push({ from: reach, to: earliest[i] });
    if (latest[i] > reach) reach = latest[i];
  }
  return gaps;
}

/** Room that a shortened gap keeps, in pixels. */
export const kGapWidth = 28;

/**
 * Time to pixels and back over one window, with idle gaps drawn short. A value; made anew when the window, the width or the gaps change.
 * A gap is shortened only where it lies in the window as a whole and would be wider than what it is shortened to.
 */
export class TimeScale {
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly gaps: readonly Gap[];
  private readonly per_ns: number;

  constructor(from: number, to: number, width: number, gaps: readonly Gap[] = []) {
    this.from = from;
    this.to = to;
    this.width = width;
    const linear = width / (to - from);
    const inside = gaps.filter((gap) => gap.from >= from && gap.to <= to && (gap.to - gap.from) * linear > kGapWidth);
    const idle = inside.reduce((sum, gap) => sum + gap.to - gap.from, 0);
    const room = width - inside.length * kGapWidth;
    this.gaps = room > width / 4 ? inside : [];
    this.per_ns = this.gaps.length ? room / Math.max(1, to - from - idle) : linear;
  }

  x(t: number): number {
    if (this.gaps.length === 0) return (t - this.from) * this.per_ns;
    let x = 0;
    let at = this.from;
    for (const gap of this.gaps) {
      if (t <= gap.from) break;
      x += (gap.from - at) * this.per_ns;
      if (t < gap.to) return x + ((t - gap.from) / (gap.to - gap.from)) * kGapWidth;
      x += kGapWidth;
      at = gap.to;
    }
    return x + (t - at) * this.per_ns;
  }

  t(x: number): number {
    let left = x;
    let at = this.from;
    for (const gap of this.gaps) {
      const before = (gap.from - at) * this.per_ns;
      if (left <= before) break;
      left -= before;
      if (left < kGapWidth) return gap.from + (left / kGapWidth) * (gap.to - gap.from);
      left -= kGapWidth;
      at = gap.to;
    }
    return at + left / this.per_ns;
  }
}
