import type { Trace } from './trace.ts';

/** A part of the time axis that is drawn short: nothing of the trace runs in it. In ns. */
export interface Gap {
  from: number;
  to: number;
}

/** Shorter than this share of the trace, a pause is drawn as it is. */
const kGapShare = 0.05;

/** The times inside the trace in which no span runs, longest ones only, in order. */
export function idle_gaps(trace: Trace): Gap[] {
  const order = Uint32Array.from({ length: trace.n }, (_, row) => row).sort((a, b) => trace.start[a] - trace.start[b]);
  const gaps: Gap[] = [];
  let reach = Infinity;
  for (const row of order) {
    const start = trace.start[row];
    if (start - reach > trace.duration * kGapShare) gaps.push({ from: reach, to: start });
    const stop = start + trace.dur[row];
    if (reach === Infinity || stop > reach) reach = stop;
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
