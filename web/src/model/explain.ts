import type { Series } from '../api/metrics.ts';

/** One value of one attribute: its share of the spans inside the selection and outside it. */
export interface Difference {
  attribute: string;
  value: string;
  inside: number;
  outside: number;
  /** Spans inside that have it. */
  count: number;
}

export interface Explanation {
  /** Best value of each attribute, most telling first. */
  differences: Difference[];
  inside_total: number;
  outside_total: number;
}

const kKinds = ['selection', 'baseline', 'selection_total', 'baseline_total'] as const;
type Kind = (typeof kKinds)[number];

/** From the series of `compare(...)`. An attribute tells the more, the further its share inside is above its share outside. */
export function explain(series: readonly Series[]): Explanation {
  const found = new Map<string, Record<Kind, Map<string, number>>>();
  for (const line of series) {
    const kind = kKinds.find((name) => name === line.labels.__meta_type);
    const attribute = Object.keys(line.labels).find((key) => !key.startsWith('__'));
    if (!kind || attribute === undefined || line.labels.__meta_error) continue;
    let entry = found.get(attribute);
    if (!entry) {
      entry = { selection: new Map(), baseline: new Map(), selection_total: new Map(), baseline_total: new Map() };
      found.set(attribute, entry);
    }
    const value = line.labels[attribute];
    const sum = line.values.reduce((all, one) => all + (Number.isFinite(one) ? one : 0), 0);
    entry[kind].set(value, (entry[kind].get(value) ?? 0) + sum);
  }
  const add = (values: Map<string, number>): number => [...values.values()].reduce((all, one) => all + one, 0);
  let inside_total = 0;
  let outside_total = 0;
  const differences: Difference[] = [];
  for (const [attribute, entry] of found) {
    const inside = add(entry.selection_total) || add(entry.selection);
    const outside = add(entry.baseline_total) || add(entry.baseline);
    inside_total = Math.max(inside_total, inside);
    outside_total = Math.max(outside_total, outside);
    let best: Difference | null = null;
    for (const [value, count] of entry.selection) {
      if (value === 'nil' || inside === 0) continue;
      const other = outside > 0 ? (entry.baseline.get(value) ?? 0) / outside : 0;
      const difference = { attribute, value, inside: count / inside, outside: other, count };
      if (!best || score(difference) > score(best)) best = difference;
    }
    if (best && score(best) > 0) differences.push(best);
  }
  differences.sort((a, b) => score(b) - score(a) || (a.attribute < b.attribute ? -1 : 1));
  return { differences, inside_total, outside_total };
}

/** The same comparison seen from the other side. */
export function swapped(series: readonly Series[]): Series[] {
  const other: Record<Kind, Kind> = { selection: 'baseline', baseline: 'selection', selection_total: 'baseline_total', baseline_total: 'selection_total' };
  return series.map((line) => ({ ...line, labels: { ...line.labels, __meta_type: other[line.labels.__meta_type as Kind] ?? line.labels.__meta_type } }));
}

function score(difference: Difference): number {
  return difference.inside - difference.outside;
}
