import type { Decision, Forwarded, WhyAnswer } from '../api/keep.ts';
import { ago, day_and_clock } from './format.ts';
import * as texts from '../texts/texts.ts';

const to_ms = (ns: string): number => Number(BigInt(ns) / 1000000n);

/** 1 in 100, 1 in 2.5: a threshold is exact, what is read is not. */
export function one_in_text(one_in: number): string {
  return one_in >= 100 ? String(Math.round(one_in)) : String(Number(one_in.toPrecision(3)));
}

/** The decision about the trace itself; later ones are about spans that came late. */
export function decision_of(answer: WhyAnswer): Decision | null {
  return answer.decisions[answer.decisions.length - 1] ?? null;
}

export const is_kept = (decision: Decision): boolean => decision.fate.startsWith('kept');

/** A trace that was kept by a rule and is not there any more. */
export const is_gone = (answer: WhyAnswer): boolean => answer.stored_spans === 0 && (answer.state === 'kept' || answer.state === 'dropped');

/** What became of a trace, in one sentence, and what there is to add. */
export function told(answer: WhyAnswer, now_ms: number): string[] {
  const decision = decision_of(answer);
  const said = [decision ? sentence(decision, now_ms) : undecided(answer)];
  if (answer.pinned) said.push(texts.sampling.is_pinned);
  if (decision && is_kept(decision) && answer.stored_spans === 0) said.push(texts.sampling.is_gone_since);
  if (answer.decisions.length > 1) said.push(texts.sampling.came_late(texts.counts.times(answer.decisions.length - 1)));
  if (answer.ambiguous) said.push(texts.sampling.is_ambiguous);
  return said;
}

/** What a target got of a trace, in one sentence. */
export function sent_on(forwarded: Forwarded, now_ms: number): string {
  const { state, rule, one_in, decided, ended, known_since } = forwarded;
  const since = (ns: string | null): string => (ns === null ? '' : ago(now_ms - to_ms(ns)));
  if (state === 'unknown') return known_since === null ? texts.sampling.sent_nothing_yet : texts.sampling.sent_not_since(day_and_clock(to_ms(known_since)));
  if (state === 'held') return texts.sampling.sent_not_decided;
  if (state === 'not_chosen') return texts.sampling.sent_not_chosen(since(decided));
  const said = [state === 'waiting' ? texts.sampling.sent_waits(since(decided), forwarded.problem) : texts.sampling.sent_ends[state](since(ended))];
  if (rule !== null) said.push(texts.sampling.sent_chosen(rule, one_in > 1 ? texts.sampling.which_keeps_one_in(one_in_text(one_in)) : ''));
  if (forwarded.spans) said.push((forwarded.late ? texts.sampling.sent_late_spans : texts.sampling.sent_spans)(forwarded.spans));
  return said.join(' ');
}

function sentence(decision: Decision, now_ms: number): string {
  const rule = decision.rule === null ? texts.sampling.as_no_rule_matched : texts.sampling.by_the_rule(decision.rule);
  const { one_in } = decision;
  const none = decision.rule !== null && one_in === null;
  const strict = none ? texts.sampling.which_keeps_none : one_in !== null && one_in > 1 ? texts.sampling.which_keeps_one_in(one_in_text(one_in)) : '';
  return (is_kept(decision) ? texts.sampling.kept : texts.sampling.dropped)(ago(now_ms - to_ms(decision.at)), rule, strict);
}

function undecided(answer: WhyAnswer): string {
  if (answer.state === 'recent') return texts.sampling.is_recent;
  if (answer.state === 'kept') return texts.sampling.is_stored;
  return answer.known_since === null ? texts.sampling.is_unknown : texts.sampling.is_unknown_since(day_and_clock(to_ms(answer.known_since)));
}
