import { duration } from './format.ts';
import { group_spans } from './operations.ts';
import type { Trace } from './trace.ts';
import * as texts from '../texts/texts.ts';

/** An operation over many traces. Durations in ns. */
export interface Beside {
  service: string;
  name: string;
  count: number;
  p50: number;
  p95: number;
}

export interface BesideRow {
  service: string;
  name: string;
  here: number;
  longest: number;
  /** Spans of the operation per trace; null where no trace is known. */
  usual_count: number | null;
  p50: number;
  p95: number;
  words: string;
  score: number;
}

/** Below this share of the traces an operation is not missed where it is absent. */
const kUsualShare = 0.5;

/** What the trace did beside the others, operation by operation, what is most unlike first. */
export function beside_population(trace: Trace, operations: readonly Beside[], traces: number): BesideRow[] {
  const key = (service: string, name: string): string => JSON.stringify([service, name]);
  const known = new Map(operations.map((one) => [key(one.service, one.name), one]));
  const rows = group_spans(trace, 'operation').map((group): BesideRow => {
    const one = known.get(key(group.service_name, group.name));
    known.delete(key(group.service_name, group.name));
    const usual_count = one && traces > 0 ? one.count / traces : null;
    const row = { service: group.service_name, name: group.name, here: group.count, longest: group.max, usual_count, p50: one?.p50 ?? NaN, p95: one?.p95 ?? NaN };
    return { ...row, ...judge(row, group.errors) };
  });
  for (const one of known.values()) {
    const usual_count = traces > 0 ? one.count / traces : null;
    if (usual_count === null || usual_count < kUsualShare) continue;
    rows.push({ service: one.service, name: one.name, here: 0, longest: 0, usual_count, p50: one.p50, p95: one.p95, words: texts.model.missing_here, score: 1e6 });
  }
  return rows.sort((a, b) => b.score - a.score || b.longest - a.longest);
}

function judge(row: Omit<BesideRow, 'words' | 'score'>, errors: number): { words: string; score: number } {
  const said: string[] = [];
  let score = 0;
  if (Number.isFinite(row.p95) && row.p95 > 0 && row.longest > row.p95 * 1.1) {
    said.push(texts.model.times_the_usual_p95((row.longest / row.p95).toFixed(1)));
    score += row.longest - row.p95;
  }
  if (row.usual_count !== null && row.usual_count > 0 && row.here >= 2 * row.usual_count && row.here > 1) {
    said.push(texts.model.as_many((row.here / row.usual_count).toFixed(1)));
    score += row.longest;
  }
  if (!Number.isFinite(row.p50)) {
    said.push(texts.model.only_here);
    score += row.longest;
  }
  if (errors) {
    said.push(errors === 1 ? texts.model.one_failed : texts.model.failed(errors));
    score += 1;
  }
  return { words: said.join(', ') || (Number.isFinite(row.p50) ? texts.model.as_usual_within(duration(row.p95)) : ''), score };
}
