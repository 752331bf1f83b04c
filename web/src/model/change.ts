import { duration, percent } from './format.ts';
import * as texts from '../texts/texts.ts';

/** Requests of a service over some time. Durations in ns, null where there were none. */
export interface Totals {
  count: number;
  errors: number;
  rate: number;
  p95_ns: number | null;
}

export interface Change {
  /** 0: as usual; the larger, the worse. Below 0: better. */
  score: number;
  text: string;
  /** The figures it comes from, for a tooltip. */
  detail: string;
  tone: 'worse' | 'better' | 'same' | 'new' | 'unknown';
}

const kFewRequests = 20;
const kFewErrors = 3;
/** Below these factors a difference is taken for noise. */
const kSlower = 1.3;
const kMoreErrors = 2;
const kLessTraffic = 0.5;

const times = (factor: number): string => `× ${factor >= 10 ? Math.round(factor) : factor.toFixed(1)}`;

/** How a service does beside the same time of the day before; null: nothing is known of that time at all. */
export function change_of(now: Totals, before: Totals | null | undefined): Change {
  if (before === null) return { score: 0, text: '–', detail: texts.model.nothing_was_kept_from_this_time, tone: 'unknown' };
  if (!before || before.count === 0) return { score: 0.5, text: texts.model.new_word, detail: texts.model.not_seen_at_this_time_yesterday, tone: 'new' };
  const share = now.count ? now.errors / now.count : 0;
  // Half an error stands for none, so that the first ones do not count as infinitely many more.
  const share_before = Math.max(before.errors, 0.5) / before.count;
  const errors = now.errors >= kFewErrors ? share / share_before : 0;
  const slower = now.p95_ns && before.p95_ns && now.count >= kFewRequests && before.count >= kFewRequests ? now.p95_ns / before.p95_ns : 1;
  const traffic = before.rate > 0 ? now.rate / before.rate : 1;
  const candidates: Change[] = [];
  if (errors >= kMoreErrors) {
    const detail = texts.model.errors_and_yesterday(percent(now.errors, now.count), percent(before.errors, before.count));
    candidates.push({ score: 2 * Math.log2(errors) + 10 * share, text: before.errors ? texts.model.errors(times(errors)) : texts.model.errors_none_before, detail, tone: 'worse' });
  }
  const speed = texts.model.p95_and_yesterday(duration(now.p95_ns ?? NaN), duration(before.p95_ns ?? NaN));
  if (slower >= kSlower) candidates.push({ score: Math.log2(slower), text: texts.model.p95(times(slower)), detail: speed, tone: 'worse' });
  if (before.count >= kFewRequests && traffic <= kLessTraffic) {
    candidates.push({ score: 0.8 * Math.log2(1 / Math.max(traffic, 0.01)), text: texts.model.fewer_requests(Math.round(100 * (1 - traffic))), detail: texts.model.fewer_requests_than_yesterday, tone: 'worse' });
  }
  if (candidates.length) return candidates.reduce((worst, one) => (one.score > worst.score ? one : worst));
  if (slower <= 1 / kSlower) return { score: Math.log2(slower), text: texts.model.p95(`÷ ${(1 / slower).toFixed(1)}`), detail: speed, tone: 'better' };
  return { score: 0, text: texts.model.as_usual, detail: speed, tone: 'same' };
}
