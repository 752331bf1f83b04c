import type { Series } from '../api/metrics.ts';

/** Calls of one group with what went wrong and how long they took, over a whole time range. Durations in ns. */
export interface Total {
  labels: Record<string, string>;
  count: number;
  errors: number;
  p50: number;
  p95: number;
  /** Sum of the durations, ns. */
  time: number;
  /** Calls per step, for a line. */
  line: number[];
}

export interface TotalSeries {
  count: readonly Series[];
  errors?: readonly Series[];
  /** `quantile_over_time(duration, .5, .95)`: label p, seconds. */
  quantiles?: readonly Series[];
  /** `sum_over_time(duration)`, seconds. */
  time?: readonly Series[];
}

const key_of = (labels: Record<string, string>, keys: readonly string[]): string => JSON.stringify(keys.map((key) => labels[key] ?? ''));
const sum = (values: readonly number[]): number => values.reduce((all, one) => all + (Number.isFinite(one) ? one : 0), 0);
const largest = (values: readonly number[]): number => values.reduce((most, one) => (Number.isFinite(one) && !(one < most) ? one : most), NaN);

/** Joins the series of several questions that are grouped by the same labels; most calls first. */
export function join_totals(series: TotalSeries, keys: readonly string[]): Total[] {
  const found = new Map<string, Total>();
  for (const line of series.count) {
    const key = key_of(line.labels, keys);
    const known = found.get(key);
    if (known) known.count += sum(line.values);
    else {
      const labels = Object.fromEntries(keys.map((name) => [name, line.labels[name] ?? '']));
      found.set(key, { labels, count: sum(line.values), errors: 0, p50: NaN, p95: NaN, time: 0, line: line.values });
    }
  }
  for (const line of series.errors ?? []) {
    const total = found.get(key_of(line.labels, keys));
    if (total) total.errors += sum(line.values);
  }
  for (const line of series.time ?? []) {
    const total = found.get(key_of(line.labels, keys));
    if (total) total.time += sum(line.values) * 1e9;
  }
  for (const line of series.quantiles ?? []) {
    const total = found.get(key_of(line.labels, keys));
    if (!total) continue;
    const ns = largest(line.values) * 1e9;
    if (Math.abs(Number(line.labels.p) - 0.5) < 1e-9) total.p50 = ns;
    else total.p95 = ns;
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}

/** A statement without its data: literals become `?`, lists of them one, white space a blank. */
export function statement_shape(text: string): string {
  return text
    .replace(/'(?:[^']|'')*'/g, '?')
    .replace(/\$\d+|(?<!:):\w+\b|@\w+\b/g, '?')
    .replace(/\b0x[0-9a-f]+\b|\b\d+(?:\.\d+)?\b/gi, '?')
    .replace(/\(\s*\?(?:\s*,\s*\?)*\s*\)/g, '(?)')
    .replace(/\s+/g, ' ')
    .trim();
}
