import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { query_range, type Series } from '../../api/metrics.ts';
import { count, duration, percent, rate } from '../../model/format.ts';
import { around } from '../../model/map.ts';
import { resolve_range } from '../../model/time_range.ts';
import { join_totals, type Total } from '../../model/totals.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { go, here_with, place, replace } from '../../state/router.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { type Layout, lay_out } from '../../widgets/graph_layout.ts';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

const kWidth = 190;
const kHeight = 46;
const kNameMax = 23;
const kNodesMax = 120;
const kParent = 'parent.resource.service.name';
const kChild = 'resource.service.name';

interface MapAnswer {
  seconds: number;
  edges: Total[];
  nodes: Map<string, Total>;
  sampled: boolean;
}

/** Who calls whom, how often, how often it fails, how long it takes. The table has the same in words. */
export function MapPage() {
  useEffect(() => {
    document.title = texts.map.map_spanloom;
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, ask);
  const focus = place.value.params.get('focus') ?? '';
  const hops = Math.max(1, Math.min(9, Number(place.value.params.get('hops')) || 1));
  const found = answer.value;
  const shown = useMemo(() => (found ? around(found.edges.map((e) => ({ from: e.labels[kParent], to: e.labels[kChild], total: e })), focus, hops) : []), [found, focus, hops]);
  const set = (key: string, value: string): void => replace(here_with(key, value || null));
  const services = found ? [...found.nodes.keys()].sort() : [];
  return (
    <main class="page" id="main" tabIndex={-1}>
      <div class="page-head">
        <h1>{texts.map.map}</h1>
        <label>
          {texts.map.around}{' '}
          <select value={focus} onChange={(e) => set('focus', e.currentTarget.value)}>
            <option value="">{texts.map.all_services}</option>
            {services.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
        {focus && (
          <label>
            {texts.map.hops}{' '}
            <select value={String(hops)} onChange={(e) => set('hops', e.currentTarget.value === '1' ? '' : e.currentTarget.value)}>
              {[1, 2, 3].map((n) => <option key={n} value={String(n)}>{n}</option>)}
            </select>
          </label>
        )}
      </div>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what={texts.map.pairing_calls} />}
      {found && shown.length === 0 && <p class="muted">{focus ? texts.map.calls_no_other_service_and_is(focus) : texts.map.no_call_went_from_one_service}</p>}
      {found && shown.length > 0 && (
        <div class={answer.loading ? 'stale' : ''}>
          <Sampled on={found.sampled} />
          <Picture edges={shown} nodes={found.nodes} seconds={found.seconds} focus={focus} />
          <Table edges={shown} seconds={found.seconds} />
        </div>
      )}
    </main>
  );
}

async function ask(signal: AbortSignal): Promise<MapAnswer> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  let sampled = false;
  const get = (query: string): Promise<Series[]> => query_range(query, from, to, to - from, signal).then((answer) => {
    sampled ||= answer.sampled;
    return answer.series;
  });
  const by = `by(${kParent}, ${kChild})`;
  const crossing = `${kParent} != nil`;
  const [count, errors, quantiles, nodes, failed] = await Promise.all([
    get(`{ ${crossing} } | count_over_time() ${by}`), get(`{ ${crossing} && status = error } | count_over_time() ${by}`),
    get(`{ ${crossing} } | quantile_over_time(duration, .5, .95) ${by}`), get(`{ } | count_over_time() by(${kChild})`), get(`{ status = error } | count_over_time() by(${kChild})`),
  ]);
  const edges = join_totals({ count, errors, quantiles }, [kParent, kChild]).filter((edge) => edge.labels[kParent] !== edge.labels[kChild]);
  const totals = join_totals({ count: nodes, errors: failed }, [kChild]);
  return { seconds: Number(to - from) / 1e9, edges, nodes: new Map(totals.map((total) => [total.labels[kChild], total])), sampled };
}

interface Edge {
  from: string;
  to: string;
  total: Total;
}

function Picture(props: { edges: Edge[]; nodes: Map<string, Total>; seconds: number; focus: string }) {
  const { edges, nodes, seconds } = props;
  const drawn = useSignal<{ edges: Edge[]; names: string[]; layout: Layout } | null>(null);
  const names = useMemo(() => [...new Set(edges.flatMap((edge) => [edge.from, edge.to]))], [edges]);
  useEffect(() => {
    let current = true;
    if (names.length <= kNodesMax) {
      void lay_out(names, edges, kWidth, kHeight).then((layout) => {
        if (current) drawn.value = { edges, names, layout };
      });
    }
    return () => {
      current = false;
    };
  }, [edges]);
  if (names.length > kNodesMax) return <p class="muted">{texts.map.services_are_too_many_to_draw(count(names.length))}</p>;
  const now = drawn.value;
  if (!now) return null;
  const most = Math.max(1, ...now.edges.map((edge) => edge.total.count));
  return (
    <div class="card graph-card" tabIndex={0} role="region" aria-label={texts.map.map_of_the_services}>
      <svg class="graph" width={now.layout.width} height={now.layout.height} role="group" aria-label={texts.map.services_and_calls}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" class="arrow" /></marker>
          <clipPath id="node-inside"><rect width={kWidth - 6} height={kHeight} /></clipPath>
        </defs>
        {now.edges.map((edge, i) => {
          const { line, x, y } = now.layout.edges[i];
          const failing = edge.total.errors / edge.total.count >= 0.01;
          return (
            <g key={`${edge.from} ${edge.to}`} class={failing ? 'edge failed' : 'edge'} aria-hidden="true">
              <path d={line} style={{ 'stroke-width': String(1 + 2.5 * Math.sqrt(edge.total.count / most)) }} marker-end="url(#arrow)" />
              <text x={x} y={y - 5} text-anchor="middle">{texts.map.s(rate(edge.total.count / seconds))}{failing ? ` ✕ ${percent(edge.total.errors, edge.total.count)}` : ''}</text>
            </g>
          );
        })}
        {now.names.map((name, i) => (
          <Box key={name} name={name} at={now.layout.nodes[i]} total={nodes.get(name)} seconds={seconds} chosen={name === props.focus} />
        ))}
      </svg>
    </div>
  );
}

function Box(props: { name: string; at: { x: number; y: number }; total: Total | undefined; seconds: number; chosen: boolean }) {
  const { name, at, total } = props;
  const to = page_link(`/service/${encodeURIComponent(name)}`);
  const facts = total ? `${rate(total.count / props.seconds)} spans/s${total.errors ? ` · ✕ ${percent(total.errors, total.count)}` : ''}` : texts.map.not_instrumented;
  const label = name.length > kNameMax ? `${name.slice(0, kNameMax - 1)}…` : name;
  return (
    <g
      class={`node${props.chosen ? ' selected' : ''}`} role="link" tabindex={0} transform={`translate(${at.x - kWidth / 2} ${at.y - kHeight / 2})`} onClick={() => go(to)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') go(to);
      }}
    >
      <rect width={kWidth} height={kHeight} rx={8} />
      <g clip-path="url(#node-inside)">
        <text class="node-name" x={12} y={19}>{label}</text>
        <text class="node-facts" x={12} y={36}>{facts}</text>
      </g>
    </g>
  );
}

function Table(props: { edges: Edge[]; seconds: number }) {
  return (
    <section class="card" aria-label={texts.map.calls_between_services}>
      <div class="table-scroll">
        <table class="sums">
          <thead><tr><th scope="col">{texts.map.from}</th><th scope="col" class="text">{texts.map.to}</th><th scope="col">{texts.map.calls_s}</th><th scope="col">{texts.map.errors}</th><th scope="col">p50</th><th scope="col">p95</th></tr></thead>
          <tbody>
            {props.edges.map(({ from, to, total }) => (
              <tr key={`${from} ${to}`}>
                <th scope="row"><a href={page_link(`/service/${encodeURIComponent(from)}`)}>{from}</a></th>
                <td class="text"><a href={page_link(`/service/${encodeURIComponent(to)}`)}>{to}</a></td>
                <td>{rate(total.count / props.seconds)}</td>
                <td class={total.errors ? 'error-text' : 'muted'}>{percent(total.errors, total.count)}</td>
                <td>{duration(total.p50)}</td>
                <td>{duration(total.p95)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
