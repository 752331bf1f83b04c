import { ApiError, error_of, is_abort } from './client.ts';
import type { KeepRule, KeepRules } from '../model/keep_rules.ts';
import * as texts from '../texts/texts.ts';

// The shapes of /api/keep. Times are ns as decimal strings.

/** The rules by which the server ages; version 0 where none were saved over the API. */
export interface RulesInForce {
  source: 'default' | 'file' | 'api';
  version: number;
  changed: string | null;
  rules: KeepRules;
}

export interface KeptCount {
  traces: number;
  spans: number;
  bytes: number;
  error_traces: number;
}

export interface PreviewCount extends KeptCount {
  kept: KeptCount;
}

export interface PreviewAnswer {
  from: string;
  to: string;
  total: PreviewCount;
  /** In the order of the rules; null is what none of them matches. */
  by_rule: (PreviewCount & { rule: string | null })[];
  by_service: (PreviewCount & { service: string })[];
  /** As asked: what each search finds now, and would find then. */
  by_search: (PreviewCount & { search: string })[];
  kept_bytes_per_day: number;
  /** How long what is kept will last on the disk; null where that cannot be told. */
  days: number | null;
}

export interface Decision {
  at: string;
  fate: 'dropped' | 'kept' | 'dropped_late' | 'kept_late';
  rule: string | null;
  rule_text: KeepRule | null;
  rules_source: RulesInForce['source'];
  rules_version: number;
  threshold: string;
  one_in: number | null;
  spans: number;
  error: boolean;
  bytes: number;
  duration_ns: string;
}

/** What a target of forwarding was to get of a trace, and what became of it. */
export interface Forwarded {
  target: string;
  state: 'unknown' | 'held' | 'not_chosen' | 'waiting' | 'sent' | 'partly_sent' | 'dead_letter' | 'refused' | 'gone' | 'given_up';
  rule: string | null;
  one_in: number;
  /** Of spans that came after the others were sent. */
  late: boolean;
  spans: number;
  decided: string | null;
  ended: string | null;
  known_since: string | null;
  /** Why it waits. */
  problem: string;
}

export interface WhyAnswer {
  trace_id: string;
  state: 'unknown' | 'recent' | 'kept' | 'dropped';
  pinned: boolean;
  ambiguous: boolean;
  stored_spans: number;
  /** Newest first. The last is about the trace, others about spans that came late. */
  decisions: Decision[];
  forwarded: Forwarded[];
  known_since: string | null;
}

export interface KeptPin {
  trace_id: string;
  at: string;
  by: string;
  reason: string;
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(`/api/keep/${path}`, init);
  } catch (error) {
    if (is_abort(error)) throw error;
    throw new ApiError(0, texts.state.the_server_does_not_answer, texts.state.is_spanloom_still_running_try_again);
  }
}

async function answered<T>(response: Response): Promise<T> {
  if (!response.ok) throw await error_of(response);
  return (await response.json()) as T;
}

const kJson = { 'content-type': 'application/json' };
/** What is replaced: nobody who has not seen the rules in force changes them. */
const replacing = (version: number): Record<string, string> => (version ? { ...kJson, 'if-match': `"${version}"` } : { ...kJson, 'if-none-match': '*' });

export const fetch_rules = async (signal?: AbortSignal): Promise<RulesInForce> => answered(await call('rules', { signal }));

/** Null where the rules are other ones by now. */
export async function save_rules(rules: unknown, version: number): Promise<RulesInForce | null> {
  const response = await call('rules', { method: 'PUT', headers: replacing(version), body: JSON.stringify(rules) });
  return response.status === 412 ? null : answered(response);
}

/** Back to those of the configuration; null where the rules are other ones by now. */
export async function reset_rules(version: number): Promise<RulesInForce | null> {
  const response = await call('rules', { method: 'DELETE', headers: replacing(version) });
  return response.status === 412 ? null : answered(response);
}

/** Of all traces that no rule has decided about yet, or of those that start in a time range. */
export async function preview_rules(rules: unknown, searches: readonly string[], signal: AbortSignal, range: { from: bigint; to: bigint } | null): Promise<PreviewAnswer> {
  const time = range && { from: String(range.from), to: String(range.to) };
  return answered(await call('preview', { method: 'POST', headers: kJson, body: JSON.stringify({ rules, searches, ...time }), signal }));
}

export const fetch_why = async (trace: string, signal?: AbortSignal): Promise<WhyAnswer> => answered(await call(`why/${trace}`, { signal }));

export const list_pins = async (): Promise<KeptPin[]> => (await answered<{ pins: KeptPin[] }>(await call('pins'))).pins;

export async function pin_trace(trace: string): Promise<void> {
  await answered(await call(`pins/${trace}`, { method: 'PUT', headers: kJson, body: '{}' }));
}

/** Where it is not pinned any more that is as good. */
export async function unpin_trace(trace: string): Promise<void> {
  const response = await call(`pins/${trace}`, { method: 'DELETE', headers: kJson });
  if (response.status !== 404) await answered(response);
}
