import type { Series } from '../api/metrics.ts';

/** Spans by time (across) and duration (up, by powers of two): counts[row * columns + column]. */
export interface Heat {
  columns: number;
  rows: number;
  counts: Float64Array;
  /** Start of the first column and width of each, in ms. */
  t0: number;
  step: number;
  /** Row r holds durations in ns above edge(r) up to edge(r + 1). */
  first_power: number;
  most: number;
  total: number;
}

export interface Box {
  t0: number;
  t1: number;
  d0: number;
  d1: number;
}

/** Upper edge of bucket `power`, in ns. */
const edge_ns = (power: number): number => 2 ** power;

/** Rows below this share of all spans are drawn as one: a few odd ones would make the picture of the others small. */
const kFewShare = 0.005;

function lowest_power(series: readonly Series[], powers: readonly number[]): number {
  const counts = new Map<number, number>();
  let total = 0;
  series.forEach((line, i) => {
    const sum = line.values.reduce((all, value) => all + (value > 0 ? value : 0), 0);
    total += sum;
    if (Number.isFinite(powers[i])) counts.set(powers[i], (counts.get(powers[i]) ?? 0) + sum);
  });
  const sorted = [...counts.keys()].sort((a, b) => a - b);
  let below = 0;
  for (const power of sorted) {
    below += counts.get(power) ?? 0;
    if (below > kFewShare * total) return power;
  }
  return sorted[0];
}

/** From the series of `histogram_over_time(duration)`, whose `__bucket` is the upper edge in seconds. */
export function heat_of(series: readonly Series[], from_ms: number, to_ms: number, step_ms: number): Heat | null {
  const columns = Math.max(1, Math.ceil((to_ms - from_ms) / step_ms));
  const powers = series.map((line) => Math.round(Math.log2(Number(line.labels.__bucket) * 1e9)));
  const known = powers.filter((power) => Number.isFinite(power));
  if (known.length === 0) return null;
  const low = lowest_power(series, powers) - 1;
  const rows = Math.max(...known) - low;
  const heat: Heat = { columns, rows, counts: new Float64Array(columns * rows), t0: from_ms, step: step_ms, first_power: low, most: 0, total: 0 };
  series.forEach((line, i) => {
    if (!Number.isFinite(powers[i])) return;
    const row = Math.max(0, powers[i] - low - 1);
    line.times.forEach((ms, at) => {
      const column = Math.min(columns - 1, Math.max(0, Math.floor((ms - from_ms) / step_ms)));
      const value = line.values[at];
      if (!(value > 0)) return;
      heat.counts[row * columns + column] += value;
      heat.total += value;
    });
  });
  for (const value of heat.counts) heat.most = Math.max(heat.most, value);
  return heat;
}

/** The cells of a box, snapped outwards; `x` and `y` are shares of the picture, y from the bottom. */
export function box_of(heat: Heat, x0: number, x1: number, y0: number, y1: number): Box {
  const column = (x: number): number => Math.max(0, Math.min(heat.columns, x * heat.columns));
  const row = (y: number): number => Math.max(0, Math.min(heat.rows, y * heat.rows));
  const low = Math.floor(row(Math.min(y0, y1)));
  const high = Math.max(low + 1, Math.ceil(row(Math.max(y0, y1))));
  const first = Math.floor(column(Math.min(x0, x1)));
  const last = Math.max(first + 1, Math.ceil(column(Math.max(x0, x1))));
  return {
    t0: heat.t0 + first * heat.step, t1: heat.t0 + last * heat.step,
    // The lowest row stands for everything below it too.
    d0: low === 0 ? 0 : edge_ns(heat.first_power + low), d1: edge_ns(heat.first_power + high),
  };
}

/** Where a box lies, as shares of the picture. */
export function place_of(heat: Heat, box: Box): { x: number; y: number; width: number; height: number } {
  const row = (ns: number): number => (ns <= 0 ? 0 : Math.log2(ns) - heat.first_power) / heat.rows;
  const span = heat.columns * heat.step;
  const clamp = (v: number): number => Math.max(0, Math.min(1, v));
  const x = clamp((box.t0 - heat.t0) / span);
  const y = clamp(row(box.d0));
  return { x, y, width: clamp((box.t1 - heat.t0) / span) - x, height: clamp(row(box.d1)) - y };
}

export function count_in(heat: Heat, box: Box): number {
  const place = place_of(heat, box);
  const first = Math.round(place.x * heat.columns);
  const last = Math.round((place.x + place.width) * heat.columns);
  let sum = 0;
  for (let row = Math.round(place.y * heat.rows); row < Math.round((place.y + place.height) * heat.rows); row++) {
    for (let column = first; column < last; column++) sum += heat.counts[row * heat.columns + column];
  }
  return sum;
}

export function write_box(box: Box | null): string {
  return box ? [box.t0, box.t1, box.d0, box.d1].map((v) => Math.round(v)).join(',') : '';
}

export function read_box(text: string | null): Box | null {
  const parts = (text ?? '').split(',').map(Number);
  if (parts.length !== 4 || parts.some((v) => !Number.isFinite(v))) return null;
  const [t0, t1, d0, d1] = parts;
  return t0 < t1 && d0 < d1 && d0 >= 0 ? { t0, t1, d0, d1 } : null;
}
