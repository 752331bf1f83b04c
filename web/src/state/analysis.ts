import { batch, signal } from '@preact/signals';
import { type ApiError, as_api_error, is_abort } from '../api/client.ts';
import { query_range, type Series } from '../api/metrics.ts';
import { explain, type Explanation } from '../model/explain.ts';
import { type Box, type Heat, heat_of } from '../model/heat.ts';
import { narrow_query } from '../model/narrow_query.ts';
import { step_for } from '../model/time_range.ts';
import { boot } from './app.ts';

const kColumns = 90;
const kTopValues = 10;
const kFacetValues = 8;

/** What is counted over all spans of the search, beside its newest traces. Follows the search; asked for again when that changes. */
export const heat = signal<Heat | null>(null);
export const red = signal<{ step_s: number; rate: number[]; errors: number[]; p50: (number | null)[]; p95: (number | null)[] } | null>(null);
export const facets = signal<{ key: string; values: { value: string; count: number }[] }[]>([]);
export const explanation = signal<Explanation | null>(null);
export const explaining = signal(false);
export const analysis_error = signal<ApiError | null>(null);
export const analysis_note = signal('');
/** Whether counts are estimates: some spans stand for more than themselves. */
export const analysis_sampled = signal(false);

const kFacetKeys = ['resource.service.name', 'name', 'status', 'kind', 'span.http.response.status_code', 'span.http.route', 'span.db.system.name', 'resource.deployment.environment.name', 'resource.host.name'];

let running: AbortController | null = null;
let explaining_now: AbortController | null = null;

export function can_analyse(): boolean {
  return boot.value?.features.includes('metrics') ?? false;
}

export async function analyse(q: string, from: bigint, to: bigint): Promise<void> {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const base = q.trim() || '{ }';
  const step = step_for(from, to, kColumns);
  const from_ms = Number(from / 1000000n);
  const step_ms = Number(step / 1000000n);
  const ask = (pipeline: string, every = step): Promise<Series[]> =>
    query_range(`${base} | ${pipeline}`, from, to, every, mine.signal).then((answer) => {
      if (answer.sampled) analysis_sampled.value = true;
      if (answer.partial) analysis_note.value = answer.partial;
      return answer.series;
    });
  batch(() => {
    analysis_error.value = null;
    analysis_note.value = '';
    analysis_sampled.value = false;
  });
  try {
    const histogram = await ask('histogram_over_time(duration)');
    heat.value = heat_of(histogram, from_ms, Number(to / 1000000n), step_ms);
    const [rate, errors, quantiles] = await Promise.all([
      ask('rate()'), query_range(`${narrow_query(base, 'status = error')} | rate()`, from, to, step, mine.signal).then((a) => a.series), ask('quantile_over_time(duration, .5, .95)'),
    ]);
    red.value = red_of(rate, errors, quantiles, from_ms, step_ms, Math.max(1, Math.ceil(Number(to - from) / Number(step))));
    const whole = to - from;
    const found = await Promise.all(kFacetKeys.map((key) => ask(`count_over_time() by(${key})`, whole).then((series) => ({ key, values: facet_of(series, key) }))));
    facets.value = found.filter((facet) => facet.values.length > 1 || (facet.values.length === 1 && facet.key !== 'kind'));
  } catch (error) {
    if (is_abort(error) || mine.signal.aborted) return;
    batch(() => {
      analysis_error.value = as_api_error(error);
      heat.value = null;
      red.value = null;
      facets.value = [];
    });
  }
}

function red_of(rate: Series[], errors: Series[], quantiles: Series[], from_ms: number, step_ms: number, n: number): NonNullable<typeof red.value> {
  const line = (series: Series | undefined): (number | null)[] => {
    const out: (number | null)[] = new Array<number | null>(n).fill(null);
    series?.times.forEach((ms, i) => {
      const at = Math.min(n - 1, Math.max(0, Math.floor((ms - from_ms) / step_ms)));
      out[at] = series.values[i];
    });
    return out;
  };
  const quantile = (p: number): (number | null)[] => line(quantiles.find((s) => Math.abs(Number(s.labels.p) - p) < 1e-9)).map((v) => (v === null || !(v > 0) ? null : v * 1e9));
  const zero = (values: (number | null)[]): number[] => values.map((v) => v ?? 0);
  return { step_s: step_ms / 1000, rate: zero(line(rate[0])), errors: zero(line(errors[0])), p50: quantile(0.5), p95: quantile(0.95) };
}

function facet_of(series: Series[], key: string): { value: string; count: number }[] {
  return series
    .map((line) => ({ value: line.labels[key] ?? line.labels[key.replace(/^(span|resource)\./, '.')] ?? '', count: line.values.reduce((sum, v) => sum + v, 0) }))
    .filter((entry) => entry.value !== '' && entry.value !== 'nil' && entry.count > 0)
    .sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1))
    .slice(0, kFacetValues);
}

/** What is different inside the box: the spans in it against all others of the search. */
export async function explain_box(q: string, box: Box, from: bigint, to: bigint): Promise<void> {
  explaining_now?.abort();
  const mine = new AbortController();
  explaining_now = mine;
  explaining.value = true;
  const upper = `duration <= ${Math.ceil(box.d1)}ns`;
  const condition = box.d0 > 0 ? `duration > ${Math.floor(box.d0)}ns && ${upper}` : upper;
  const t0 = BigInt(Math.round(box.t0)) * 1000000n;
  const t1 = BigInt(Math.round(box.t1)) * 1000000n;
  try {
    const answer = await query_range(`${q.trim() || '{ }'} | compare({ ${condition} }, ${kTopValues}, ${t0}, ${t1})`, from, to, to - from, mine.signal);
    if (!mine.signal.aborted) explanation.value = explain(answer.series);
  } catch (error) {
    if (is_abort(error) || mine.signal.aborted) return;
    analysis_error.value = as_api_error(error);
  }
  if (!mine.signal.aborted) explaining.value = false;
}

export function forget_explanation(): void {
  explaining_now?.abort();
  explanation.value = null;
  explaining.value = false;
}

/** The query for what is inside a box. */
export function query_of_box(q: string, box: Box): string {
  const upper = `duration <= ${Math.ceil(box.d1)}ns`;
  return narrow_query(q, box.d0 > 0 ? `duration > ${Math.floor(box.d0)}ns && ${upper}` : upper);
}
