import { kFlagCritical, type Trace } from './trace.ts';

/** What of a trace the rows show: everything, or only what matters in one sense, always with its ancestors. */
export type Reduce = 'all' | 'auto' | 'errors' | 'critical' | 'matches';

export const kReductions: readonly Reduce[] = ['all', 'auto', 'errors', 'critical', 'matches'];

/** A span of at least this share of the trace matters for its length alone. */
const kLongShare = 0.01;

/** 1 for every row that is shown, ancestors included; null where all are. `matches`: 1 for the rows that were searched for, or null. */
export function kept_rows(trace: Trace, reduce: Reduce, matches: Uint8Array | null): Uint8Array | null {
  if (reduce === 'all' || (reduce === 'matches' && !matches)) return null;
  const wanted = (row: number): boolean => {
    switch (reduce) {
      case 'errors': return trace.is_error(row);
      case 'critical': return trace.has(row, kFlagCritical);
      case 'matches': return matches?.[row] === 1;
      default:
        return trace.is_error(row) || trace.has(row, kFlagCritical) || matches?.[row] === 1 || trace.dur[row] >= trace.duration * kLongShare;
    }
  };
  const kept = new Uint8Array(trace.n);
  for (let row = trace.n - 1; row >= 0; row--) {
    if (!kept[row] && !wanted(row)) continue;
    kept[row] = 1;
    // The head of a run of similar spans stands for them while they are folded.
    const run = trace.run_of[row];
    if (run >= 0) kept[run] = 1;
    if (trace.parent[row] >= 0) kept[trace.parent[row]] = 1;
  }
  return kept;
}
