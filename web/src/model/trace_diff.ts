import { type Group, group_spans } from './operations.ts';
import type { Trace } from './trace.ts';

/** One operation in two traces: spans and total duration of each side, in ns. */
export interface OperationDiff {
  service: string;
  name: string;
  a: Group | null;
  b: Group | null;
  /** Of self time, b less a. */
  change: number;
}

/** Operations of both traces, those whose self time differs most first. */
export function compare_traces(a: Trace, b: Trace): OperationDiff[] {
  const found = new Map<string, OperationDiff>();
  const put = (side: 'a' | 'b', group: Group): void => {
    const key = JSON.stringify([group.service_name, group.name]);
    const entry = found.get(key) ?? { service: group.service_name, name: group.name, a: null, b: null, change: 0 };
    entry[side] = group;
    found.set(key, entry);
  };
  for (const group of group_spans(a, 'operation')) put('a', group);
  for (const group of group_spans(b, 'operation')) put('b', group);
  for (const entry of found.values()) entry.change = (entry.b?.self ?? 0) - (entry.a?.self ?? 0);
  return [...found.values()].sort((x, y) => Math.abs(y.change) - Math.abs(x.change) || (x.name < y.name ? -1 : 1));
}
