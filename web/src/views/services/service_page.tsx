import { useEffect } from 'preact/hooks';
import { query_range, type Series } from '../../api/metrics.ts';
import { count, day_and_clock, duration, percent, rate } from '../../model/format.ts';
import { resolve_range, step_for } from '../../model/time_range.ts';
import { join_totals, type Total } from '../../model/totals.ts';
import { quote } from '../../model/url.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Latency, type LatencyAnswer, latency_of } from './latency.tsx';
import { Sparkline } from '../../widgets/sparkline.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

const kPoints = 60;
const kExamples = 30;

/** Spans that are requests to the service. */
const entry_condition = (name: string): string => `resource.service.name = ${quote(name)} && (kind = server || kind = consumer)`;

interface ServiceAnswer {
  seconds: number;
  whole: Total | undefined;
  operations: Total[];
  versions: { version: string; first_ms: number; count: number; errors: number; p95: number }[];
  calls: Total[];
  callers: Total[];
  latency: LatencyAnswer;
  sampled: boolean;
}

/** One service: its operations, who calls it and whom it calls, its versions over time. */
export function ServicePage(props: { name: string }) {
  const { name } = props;
  useEffect(() => {
    document.title = texts.service.spanloom(name);
  }, [name]);
  const answer = use_answer(`${name} ${range.value.from} ${range.value.to}`, (signal) => ask(name, signal));
  const found = answer.value;
  const q = `{ resource.service.name = ${quote(name)} }`;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <div class="page-head">
        <h1>{name}</h1>
        <a href={page_link('/search', { q })}>{texts.service.its_traces}</a>
        <a href={page_link('/search', { q: `{ resource.service.name = ${quote(name)} && status = error }` })}>{texts.service.its_errors}</a>
        <a href={page_link('/map', { focus: name })}>{texts.service.on_the_map}</a>
      </div>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what={texts.service.counting} />}
      {found && !found.whole && <p class="muted">{texts.service.nothing_was_received_from_in_this(name)}</p>}
      {found?.whole && (
        <div class={answer.loading ? 'stale' : ''}>
          <p class="service-facts">
            <span><strong>{rate(found.whole.count / found.seconds)}</strong> {texts.service.spans_s}</span>
            <span class={found.whole.errors ? 'error-text' : ''}><strong>{percent(found.whole.errors, found.whole.count)}</strong> {texts.service.errors_share}</span>
            <span>p50 <strong>{duration(found.whole.p50)}</strong></span>
            <span>p95 <strong>{duration(found.whole.p95)}</strong></span>
            <Sparkline values={found.whole.line} tone="plain" width={240} />
          </p>
          <Sampled on={found.sampled} />
          <Latency answer={found.latency} versions={found.versions} search={(more) => `{ ${entry_condition(name)}${more} }`} />
          <Versions service={name} versions={found.versions} />
          <Operations service={name} operations={found.operations} seconds={found.seconds} />
          <div class="two-columns">
            <Neighbours title={texts.service.called_by} name="parent.resource.service.name" edges={found.callers} seconds={found.seconds} />
            <Neighbours title={texts.service.calls} name="resource.service.name" edges={found.calls} seconds={found.seconds} />
          </div>
        </div>
      )}
    </main>
  );
}

async function ask(name: string, signal: AbortSignal): Promise<ServiceAnswer> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  const step = step_for(from, to, kPoints);
  const mine = `resource.service.name = ${quote(name)}`;
  let sampled = false;
  const get = (query: string, every = step, examples = 0): Promise<Series[]> => query_range(query, from, to, every, signal, examples).then((answer) => {
    sampled ||= answer.sampled;
    return answer.series;
  });
  const totals = async (condition: string, by: string, keys: string[], every = to - from): Promise<Total[]> => {
    const [number, errors, quantiles] = await Promise.all([
      get(`{ ${condition} } | count_over_time()${by}`, every), get(`{ ${condition} && status = error } | count_over_time()${by}`, every),
      get(`{ ${condition} } | quantile_over_time(duration, .5, .95)${by}`, to - from),
    ]);
    return join_totals({ count: number, errors, quantiles }, keys);
  };
  const parent = 'parent.resource.service.name';
  const entries = entry_condition(name);
  const [quantiles, histogram, whole, operations, versions, callers, calls] = await Promise.all([
    get(`{ ${entries} } | quantile_over_time(duration, .5, .95)`, step, kExamples), get(`{ ${entries} } | histogram_over_time(duration)`, to - from),
    totals(mine, '', [], step), totals(`${mine} && kind != internal`, ' by(name, kind)', ['name', 'kind']), Promise.all([get(`{ ${mine} } | count_over_time() by(${kVersion})`), totals(entries, ` by(${kVersion})`, [kVersion])]).then(([line, all]) => versions_of(line, all)),
    totals(`${mine} && ${parent} != nil && ${parent} != ${quote(name)}`, ` by(${parent})`, [parent]),
    totals(`${parent} = ${quote(name)} && resource.service.name != ${quote(name)}`, ' by(resource.service.name)', ['resource.service.name']),
  ]);
  const latency = latency_of(quantiles, histogram, Number(from / 1000000n), Number(to / 1000000n));
  return { seconds: Number(to - from) / 1e9, whole: whole[0], operations, versions, callers, calls, latency, sampled };
}

const kVersion = 'resource.service.version';

/** Versions by when they were first seen in the range. */
function versions_of(series: Series[], totals: readonly Total[]): ServiceAnswer['versions'] {
  return series
    .map((line) => {
      const first = line.values.findIndex((value) => value > 0);
      const version = line.labels[kVersion] ?? '';
      const total = totals.find((one) => one.labels[kVersion] === version);
      return { version, first_ms: first < 0 ? Infinity : line.times[first], count: total?.count ?? 0, errors: total?.errors ?? 0, p95: total?.p95 ?? NaN };
    })
    .filter((entry) => entry.version !== '' && entry.version !== 'nil' && Number.isFinite(entry.first_ms))
    .sort((a, b) => a.first_ms - b.first_ms);
}

/** A version this much slower than the one before it is marked. */
const kSlower = 1.3;

function Versions(props: { service: string; versions: ServiceAnswer['versions'] }) {
  const { versions } = props;
  if (versions.length === 0) return null;
  if (versions.length === 1) return <p class="versions">{texts.service.version} <strong>{versions[0].version}</strong>{texts.service.the_only_one_in_this_time}</p>;
  return (
    <section class="card versions" aria-labelledby="versions-title">
      <h2 id="versions-title">{texts.service.versions}</h2>
      <div class="table-scroll">
        <table class="sums">
          <thead><tr><th scope="col">{texts.service.version}</th><th scope="col">{texts.service.first_seen}</th><th scope="col">{texts.service.requests}</th><th scope="col">{texts.service.errors}</th><th scope="col">p95</th><th scope="col">{texts.service.beside_the_one_before}</th></tr></thead>
          <tbody>
            {versions.map((entry, i) => {
              const before = versions[i - 1];
              const factor = before && before.p95 > 0 ? entry.p95 / before.p95 : NaN;
              return (
                <tr key={entry.version}>
                  <th scope="row"><a href={page_link('/search', { q: `{ ${entry_condition(props.service)} && ${kVersion} = ${quote(entry.version)} }` })}>{entry.version}</a></th>
                  <td>{day_and_clock(entry.first_ms)}</td>
                  <td>{count(entry.count)}</td>
                  <td class={entry.errors ? 'error-text' : 'muted'}>{percent(entry.errors, entry.count)}</td>
                  <td>{duration(entry.p95)}</td>
                  <td class={factor >= kSlower ? 'error-text' : 'muted'}>{factor >= kSlower ? `▲ p95 × ${factor.toFixed(1)}` : factor <= 1 / kSlower ? `▼ p95 ÷ ${(1 / factor).toFixed(1)}` : before ? texts.service.about_the_same : ''}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Operations(props: { service: string; operations: Total[]; seconds: number }) {
  const link = (total: Total, more = ''): string =>
    page_link('/search', { q: `{ resource.service.name = ${quote(props.service)} && name = ${quote(total.labels.name)}${more} }` });
  return (
    <section class="card" aria-labelledby="operations-title">
      <h2 id="operations-title">{texts.service.operations}</h2>
      <div class="table-scroll">
        <table class="sums">
          <thead><tr><th scope="col">{texts.service.operation}</th><th scope="col">{texts.service.calls_s}</th><th scope="col">{texts.service.errors}</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col">{texts.service.kind}</th></tr></thead>
          <tbody>
            {props.operations.map((total) => (
              <tr key={`${total.labels.name} ${total.labels.kind}`}>
                <th scope="row"><a href={link(total)}>{total.labels.name}</a></th>
                <td>{rate(total.count / props.seconds)}</td>
                <td>{total.errors ? <a class="error-text" href={link(total, ' && status = error')}>✕ {percent(total.errors, total.count)}</a> : <span class="muted">0 %</span>}</td>
                <td>{duration(total.p50)}</td>
                <td>{Number.isFinite(total.p95) ? <a href={link(total, ` && duration >= ${Math.floor(total.p95)}ns`)} title={texts.service.find_the_slowest}>{duration(total.p95)}</a> : '–'}</td>
                <td class="muted">{total.labels.kind}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {props.operations.length === 0 && <p class="muted">{texts.service.no_call_came_in_or_went}</p>}
    </section>
  );
}

function Neighbours(props: { title: string; name: string; edges: Total[]; seconds: number }) {
  return (
    <section class="card" aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.edges.length === 0 && <p class="muted">{texts.service.no_other_service}</p>}
      {props.edges.length > 0 && (
        <table class="sums">
          <thead><tr><th scope="col">{texts.service.service}</th><th scope="col">{texts.service.calls_s}</th><th scope="col">{texts.service.errors}</th><th scope="col">p95</th></tr></thead>
          <tbody>
            {props.edges.map((edge) => (
              <tr key={edge.labels[props.name]}>
                <th scope="row"><a href={page_link(`/service/${encodeURIComponent(edge.labels[props.name])}`)}>{edge.labels[props.name]}</a></th>
                <td>{rate(edge.count / props.seconds)}</td>
                <td class={edge.errors ? 'error-text' : 'muted'}>{percent(edge.errors, edge.count)}</td>
                <td>{duration(edge.p95)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {props.edges.length > 0 && <p class="muted small">{texts.counts.services(props.edges.length)}</p>}
    </section>
  );
}
