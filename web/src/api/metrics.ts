import { ApiError, is_abort } from './client.ts';
import * as texts from '../texts/texts.ts';

/** One line of a TraceQL metrics answer. Times in ms, labels as text. */
export interface Series {
  labels: Record<string, string>;
  times: number[];
  values: number[];
  exemplars: { trace_id: string; ms: number; value: number }[];
}

export interface MetricsAnswer {
  series: Series[];
  /** Why the answer is not whole; '' where it is. */
  partial: string;
  /** Whether some span stood for more than itself, so that counts are estimates. */
  sampled: boolean;
}

interface WireValue {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number;
  boolValue?: boolean;
}

interface WireSeries {
  labels?: { key: string; value?: WireValue }[];
  samples?: { timestampMs: string; value?: number }[];
  exemplars?: { labels?: { key: string; value?: WireValue }[]; timestampMs?: string; value?: number }[];
}

/** TraceQL metrics over a time range; `step` in ns. */
export async function query_range(q: string, from: bigint, to: bigint, step: bigint, signal?: AbortSignal, exemplars = 0): Promise<MetricsAnswer> {
  const params = new URLSearchParams({ q, start: String(from), end: String(to), step: `${Number(step) / 1e9}` });
  if (exemplars) params.set('exemplars', String(exemplars));
  let response: Response;
  try {
    response = await fetch(`/tempo/api/metrics/query_range?${params}`, { signal, headers: { accept: 'application/json' } });
  } catch (error) {
    if (is_abort(error)) throw error;
    throw new ApiError(0, texts.state.the_server_does_not_answer);
  }
  if (!response.ok) throw new ApiError(response.status, (await response.text().catch(() => '')).trim() || texts.state.the_server_answered(response.status));
  const body = (await response.json()) as { series?: WireSeries[]; status?: string; message?: string };
  const partial = body.status === 'PARTIAL' ? body.message || texts.state.not_everything_was_looked_at : '';
  const keys = keys_of(q);
  return { series: (body.series ?? []).map((wire) => read_series(wire, keys)), partial, sampled: response.headers.get('x-spanloom-sampled') === 'true' };
}

function text_of(value: WireValue | undefined): string {
  const found = value?.stringValue ?? value?.intValue ?? value?.doubleValue ?? value?.boolValue;
  return found === undefined ? '' : String(found);
}

/** What a query groups by: its labels come in this order, under names that do not always tell a parent's attribute from the span's. */
export function keys_of(q: string): string[] {
  const found = /\bby\s*\(([^()]*)\)\s*$/.exec(q);
  return found ? found[1].split(',').map((key) => key.trim()) : [];
}

export function read_series(wire: WireSeries, keys: readonly string[] = []): Series {
  const samples = wire.samples ?? [];
  const labels = wire.labels ?? [];
  const named = labels.map((label, i): [string, string] => [keys[i] ?? label.key, text_of(label.value)]);
  return {
    labels: Object.fromEntries(named),
    times: samples.map((sample) => Number(sample.timestampMs)),
    values: samples.map((sample) => sample.value ?? 0),
    exemplars: (wire.exemplars ?? []).map((e) => ({
      trace_id: text_of(e.labels?.find((label) => label.key === 'trace:id' || label.key === 'traceId')?.value), ms: Number(e.timestampMs ?? 0), value: e.value ?? 0,
    })),
  };
}
