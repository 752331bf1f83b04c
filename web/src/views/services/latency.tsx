import { useLayoutEffect } from 'preact/hooks';
import type { Series } from '../../api/metrics.ts';
import { clock, count, day_and_clock, duration } from '../../model/format.ts';
import { page_commands, page_link } from '../../state/app.ts';
import { go } from '../../state/router.ts';
import * as texts from '../../texts/texts.ts';

const kWidth = 840;
const kHeight = 170;
const kLeft = 56;
const kBottom = 20;
const kTabStops = 3;

export interface Marked {
  version: string;
  first_ms: number;
}

interface Point {
  ms: number;
  ns: number;
}

export interface LatencyAnswer {
  from_ms: number;
  to_ms: number;
  p50: Point[];
  p95: Point[];
  examples: (Point & { trace_id: string })[];
  histogram: Bucket[];
}

interface Bucket {
  from_ns: number;
  to_ns: number;
  count: number;
}

const link_of = (bucket: Bucket, search: (more: string) => string): string =>
  page_link('/search', { q: search(` && duration > ${Math.floor(bucket.from_ns)}ns && duration <= ${Math.ceil(bucket.to_ns)}ns`) });

export function latency_of(quantiles: readonly Series[], histogram: readonly Series[], from_ms: number, to_ms: number): LatencyAnswer {
  const line = (p: number): Point[] => {
    const series = quantiles.find((one) => Math.abs(Number(one.labels.p) - p) < 1e-9);
    return (series?.times ?? []).map((ms, i) => ({ ms, ns: (series?.values[i] ?? NaN) * 1e9 })).filter((point) => point.ns > 0);
  };
  const seen = new Set<string>();
  const examples = quantiles
    .flatMap((one) => one.exemplars.map((e) => ({ ms: e.ms, ns: e.value * 1e9, trace_id: e.trace_id })))
    .filter((e) => /^[0-9a-f]{1,32}$/.test(e.trace_id) && e.ns > 0 && !seen.has(e.trace_id) && seen.add(e.trace_id));
  const buckets = histogram
    .map((one) => ({ to_ns: Number(one.labels.__bucket) * 1e9, count: one.values.reduce((sum, v) => sum + (Number.isFinite(v) ? v : 0), 0) }))
    .filter((bucket) => Number.isFinite(bucket.to_ns) && bucket.count > 0)
    .sort((a, b) => a.to_ns - b.to_ns)
    .map((bucket) => ({ ...bucket, from_ns: bucket.to_ns / 2 }));
  return { from_ms, to_ms, p50: line(0.5), p95: line(0.95), examples, histogram: buckets };
}

/** p50 and p95 over time with traces to open, where versions changed, and how the durations are spread. The tables below have the same in words. */
export function Latency(props: { answer: LatencyAnswer; versions: readonly Marked[]; search: (more: string) => string }) {
  const { answer, search } = props;
  useLayoutEffect(() => {
    const { histogram } = answer;
    if (histogram.length === 0) return;
    const typical = histogram.reduce((most, one) => (one.count > most.count ? one : most));
    const find = (label: string, bucket: Bucket) => ({ label, note: texts.service.this_service, run: () => go(link_of(bucket, search)) });
    page_commands.value = [find(texts.service.its_typical_requests, typical), find(texts.service.its_slowest_requests, histogram[histogram.length - 1])];
    return () => {
      page_commands.value = [];
    };
  }, [answer]);
  if (answer.p95.length === 0) return null;
  return (
    <div class="latency">
      <section class="card" aria-label={texts.service.durations_over_time}>
        <h2>{texts.service.durations_over_time}</h2>
        <Lines answer={answer} versions={props.versions} />
        <p class="legend-line muted small"><span class="key p95" /> p95 <span class="key p50" /> p50 {answer.examples.length > 0 && <><span class="key dot-key" /> {texts.service.traces_click_one}</>} {props.versions.length > 1 && <><span class="key version-key" /> {texts.service.a_new_version}</>}</p>
      </section>
      <section class="card" aria-label={texts.service.how_durations_are_spread}>
        <h2>{texts.service.how_they_are_spread}</h2>
        <Histogram answer={answer} search={props.search} />
      </section>
    </div>
  );
}

function Lines(props: { answer: LatencyAnswer; versions: readonly Marked[] }) {
  const { answer } = props;
  const all = [...answer.p50, ...answer.p95, ...answer.examples].map((point) => point.ns);
  const low = Math.log10(Math.min(...all)) - 0.1;
  const high = Math.log10(Math.max(...all)) + 0.1;
  const x = (ms: number): number => kLeft + ((ms - answer.from_ms) / Math.max(1, answer.to_ms - answer.from_ms)) * (kWidth - kLeft - 8);
  const y = (ns: number): number => 6 + (1 - (Math.log10(ns) - low) / Math.max(0.1, high - low)) * (kHeight - kBottom - 12);
  const path = (points: Point[]): string => points.map((point, i) => `${i ? 'L' : 'M'}${x(point.ms).toFixed(1)} ${y(point.ns).toFixed(1)}`).join('');
  // Tab stops at the slowest only; the others are reached by the searches beside the picture.
  const slowest = new Set([...answer.examples].sort((a, b) => b.ns - a.ns).slice(0, kTabStops).map((point) => point.trace_id));
  const marks = [0, 0.5, 1].map((share) => 10 ** (low + 0.1 + share * (high - low - 0.2)));
  return (
    <svg class="lines" viewBox={`0 0 ${kWidth} ${kHeight}`} role="group" aria-label={texts.service.p50_and_p95_over_time_with}>
      {marks.map((ns) => (
        <g key={ns} aria-hidden="true">
          <line x1={kLeft} x2={kWidth - 8} y1={y(ns)} y2={y(ns)} class="rule" />
          <text x={kLeft - 6} y={y(ns) + 4} text-anchor="end">{duration(ns)}</text>
        </g>
      ))}
      {[0, 0.5, 1].map((share) => (
        <text key={share} x={kLeft + share * (kWidth - kLeft - 8)} y={kHeight - 4} text-anchor={share === 0 ? 'start' : share === 1 ? 'end' : 'middle'} aria-hidden="true">
          {clock(answer.from_ms + share * (answer.to_ms - answer.from_ms))}
        </text>
      ))}
      {props.versions.slice(1).map((entry) => (
        <g key={entry.version} class="version">
          <line x1={x(entry.first_ms)} x2={x(entry.first_ms)} y1="4" y2={kHeight - kBottom} />
          <text x={x(entry.first_ms) + (x(entry.first_ms) > kWidth - 90 ? -4 : 4)} y="14" text-anchor={x(entry.first_ms) > kWidth - 90 ? 'end' : 'start'}>{entry.version}</text>
        </g>
      ))}
      <path d={path(answer.p50)} class="line p50" />
      <path d={path(answer.p95)} class="line p95" />
      {answer.examples.map((point) => (
        <a key={point.trace_id} href={`/trace/${point.trace_id}`} tabindex={slowest.has(point.trace_id) ? 0 : -1} aria-label={texts.service.trace_of_at(duration(point.ns), day_and_clock(point.ms))}>
          <circle cx={x(point.ms)} cy={y(point.ns)} r="12" class="reach" />
          <circle cx={x(point.ms)} cy={y(point.ns)} r="3.5" class="example" />
          <title>{duration(point.ns)}, {day_and_clock(point.ms)}</title>
        </a>
      ))}
    </svg>
  );
}

function Histogram(props: { answer: LatencyAnswer; search: (more: string) => string }) {
  const { histogram } = props.answer;
  const most = Math.max(1, ...histogram.map((bucket) => bucket.count));
  return (
    <ol class="histogram">
      {histogram.map((bucket) => (
        <li key={bucket.to_ns}>
          <a href={link_of(bucket, props.search)} title={texts.service.find_these}>
            <span class="bucket">{duration(bucket.from_ns)} – {duration(bucket.to_ns)}</span>
            <span class="track" aria-hidden="true"><span style={{ width: `${Math.max(0.5, (100 * bucket.count) / most)}%` }} /></span>
            <span class="bucket-count">{count(bucket.count)}</span>
          </a>
        </li>
      ))}
    </ol>
  );
}
