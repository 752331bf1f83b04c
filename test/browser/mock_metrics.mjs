// TraceQL metrics over the fixtures, as much of them as the pages ask for.

const ms = 1e6;

function spans_of(traces) {
  const first_ms = Math.min(...traces.map((trace) => Number(trace.t0 / 1000000n)));
  return traces.flatMap((trace) => trace.spans.map(({ span, parent }) => ({ ...span, first_ms, trace_id: trace.id, parent_service: parent >= 0 ? trace.spans[parent].span.service : undefined, at_ms: Number(trace.t0 / 1000000n) + span.start / ms })));
}

export function value_of(span, key) {
  if (key === 'status') return span.error ? 'error' : 'unset';
  if (key === 'name' || key === 'kind') return span[key] ?? 'internal';
  if (key === 'resource.service.name') return span.service;
  if (key === 'parent.resource.service.name') return span.parent_service ?? 'nil';
  if (key === 'resource.service.version') return span.at_ms < span.first_ms + 1_800_000 ? '2.14.0' : '2.15.0';
  if (key === 'event.exception.stacktrace') return span.events?.find((event) => event.name === 'exception')?.attributes[key.slice(6)] ?? 'nil';
  if (key === 'event.exception.type') return span.events?.find((event) => event.name === 'exception')?.attributes['exception.type'] ?? 'nil';
  const found = span.attributes?.[key.replace(/^span\./, '')];
  return found === undefined ? 'nil' : found;
}

const labels_of = (pairs) => Object.entries(pairs).map(([key, value]) => ({
  key, value: typeof value === 'number' ? (Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }) : { stringValue: value },
}));

/** Series of `groups` (a key and label pairs per span): one value per step, by `reduce` of the spans in it. */
function series_of(spans, from, step, n, group, reduce) {
  const found = new Map();
  for (const span of spans) {
    const labels = group(span);
    const key = JSON.stringify(labels);
    if (!found.has(key)) found.set(key, { labels, steps: Array.from({ length: n }, () => []) });
    const at = Math.floor((span.at_ms - from) / step);
    if (at >= 0 && at < n) found.get(key).steps[at].push(span);
  }
  return [...found.values()].map(({ labels, steps }) => ({
    labels: labels_of(labels),
    samples: steps.map((list, i) => ({ timestampMs: String(Math.round(from + i * step)), value: reduce(list) })).filter((sample) => sample.value !== null),
    exemplars: steps.flat().slice(0, 6).map((span) => ({ labels: labels_of({ 'trace:id': span.trace_id }), timestampMs: String(Math.round(span.at_ms)), value: span.dur / 1e9 })),
  }));
}

function quantile(list, p) {
  if (list.length === 0) return null;
  const sorted = list.map((span) => span.dur / 1e9).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))];
}

function compare(spans, holds, from_ms, to_ms, step, from) {
  const inside = spans.filter((span) => holds(span) && span.at_ms >= from_ms && span.at_ms < to_ms);
  const outside = spans.filter((span) => !inside.includes(span));
  const out = [];
  for (const key of ['resource.service.name', 'name', 'status', 'span.http.response.status_code', 'span.user.id']) {
    for (const [type, list] of [['selection', inside], ['baseline', outside]]) {
      const counts = new Map();
      for (const span of list) counts.set(value_of(span, key), (counts.get(value_of(span, key)) ?? 0) + 1);
      for (const [value, count] of counts) {
        out.push({ labels: labels_of({ __meta_type: type, [key]: value }), samples: [{ timestampMs: String(from), value: count }] });
      }
      out.push({ labels: labels_of({ __meta_type: `${type}_total`, [key]: 'nil' }), samples: [{ timestampMs: String(from), value: list.length }] });
    }
  }
  return out;
}

function reduce_of(call, step) {
  if (call.startsWith('rate')) return (list) => list.length / (step / 1000);
  if (call.startsWith('sum_over_time')) return (list) => list.reduce((sum, span) => sum + span.dur / 1e9, 0);
  return (list) => list.length;
}

export function answer_metrics(traces, params, span_test) {
  const q = params.get('q');
  const at = q.lastIndexOf(' | ');
  const [query, call] = [q.slice(0, at), q.slice(at + 3)];
  const from = Number(params.get('start')) / ms;
  const to = Number(params.get('end')) / ms;
  const step = Number(params.get('step')) * 1000;
  const n = Math.max(1, Math.ceil((to - from) / step));
  const either = /^\{ \((.*)\) \|\| \((.*)\) \}$/.exec(query);
  const wanted = either ? (span) => span_test(either[1])(span) || span_test(either[2])(span) : span_test(query);
  const spans = spans_of(traces).filter(wanted).filter((span) => span.at_ms >= from && span.at_ms < to);
  const by = /by\(([^)]+)\)/.exec(call)?.[1];
  const chosen = /^compare\(\{(.*)\}, \d+(?:, (\d+), (\d+))?\)$/.exec(call);
  if (chosen) return { series: compare(spans, span_test(chosen[1]), chosen[2] ? Number(chosen[2]) / ms : 0, chosen[3] ? Number(chosen[3]) / ms : Infinity, step, from), metrics: {} };
  if (call.startsWith('histogram_over_time')) {
    return { series: series_of(spans, from, step, n, (span) => ({ __bucket: 2 ** Math.ceil(Math.log2(Math.max(1, span.dur))) / 1e9 }), (list) => list.length), metrics: {} };
  }
  if (call.startsWith('quantile_over_time')) {
    const labels = (span) => Object.fromEntries((by?.split(', ') ?? []).map((key) => [key, value_of(span, key)]));
    return { series: [0.5, 0.95].flatMap((p) => series_of(spans, from, step, n, (span) => ({ p, ...labels(span) }), (list) => quantile(list, p))), metrics: {} };
  }
  const keys = by?.split(', ');
  const group = keys ? (span) => Object.fromEntries(keys.map((key) => [key, value_of(span, key)])) : () => ({ __name__: 'rate' });
  return { series: series_of(spans, from, step, n, group, reduce_of(call, step)), metrics: {} };
}
