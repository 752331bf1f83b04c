import { useEffect, useMemo } from 'preact/hooks';
import { fetch_map } from '../../api/client.ts';
import type { MapAnswer } from '../../api/types.ts';
import { around, map_of, type MapEdge, type MapNode, type NodeKind, type ServiceMap } from '../../model/map.ts';
import { count, duration, percent, rate } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { here_with, place, replace } from '../../state/router.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';
import { Picture } from './picture.tsx';

const kKinds: NodeKind[] = ['service', 'database', 'outside'];

interface Found {
  seconds: number;
  map: ServiceMap;
  answer: MapAnswer;
}

/** Where a node leads: a service to its page, others to what is around them. */
export const node_link = (node: MapNode): string => (node.kind === 'service' ? page_link(`/service/${encodeURIComponent(node.name)}`) : here_with('focus', node.id));

/** Who calls whom, how often, how often it fails, how long it takes. The table has the same in words. */
export function MapPage() {
  useEffect(() => {
    document.title = texts.map.map_spanloom;
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, ask);
  const focus = place.value.params.get('focus') ?? '';
  const hops = Math.max(1, Math.min(9, Number(place.value.params.get('hops')) || 1));
  const found = answer.value;
  const shown = useMemo(() => (found ? around(found.map.edges, focus, hops) : []), [found, focus, hops]);
  const set = (key: string, value: string): void => replace(here_with(key, value || null));
  const name = found?.map.nodes.get(focus)?.name ?? focus;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <div class="page-head">
        <h1>{texts.map.map}</h1>
        <label>
          {texts.map.around}{' '}
          <select value={focus} onChange={(e) => set('focus', e.currentTarget.value)}>
            <option value="">{texts.map.all_services}</option>
            {found && <Options map={found.map} />}
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
      {found?.answer.partial && <p class="note" role="status">{texts.map.not_all_was_paired(found.answer.reason)}</p>}
      {found && shown.length === 0 && <p class="muted">{focus ? texts.map.calls_no_other_service_and_is(name) : texts.map.no_call_went_from_one_service}</p>}
      {found && shown.length > 0 && (
        <div class={answer.loading ? 'stale' : ''}>
          <Sampled on={found.map.sampled} />
          <Picture edges={shown} nodes={found.map.nodes} seconds={found.seconds} focus={focus} link={node_link} />
          <Table edges={shown} nodes={found.map.nodes} seconds={found.seconds} />
        </div>
      )}
      {found && !focus && <Unpaired answer={found.answer} seconds={found.seconds} />}
    </main>
  );
}

async function ask(signal: AbortSignal): Promise<Found> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  const answer = await fetch_map(from, to, signal);
  const seconds = Number(to - from) / 1e9;
  return { seconds, map: map_of(answer, seconds), answer };
}

function Options(props: { map: ServiceMap }) {
  const nodes = [...props.map.nodes.values()].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <>
      {kKinds.map((kind) => {
        const these = nodes.filter((node) => node.kind === kind);
        return these.length > 0 && <optgroup key={kind} label={texts.map.kinds[kind]}>{these.map((node) => <option key={node.id} value={node.id}>{node.name}</option>)}</optgroup>;
      })}
    </>
  );
}

function Table(props: { edges: MapEdge[]; nodes: Map<string, MapNode>; seconds: number }) {
  const has_queue = props.edges.some((edge) => edge.wait_p95 !== null);
  const cell = (id: string, is_beside_text = false) => {
    const node = props.nodes.get(id)!;
    return <><a class={node.kind !== 'service' || is_beside_text ? 'underlined' : ''} href={node_link(node)}>{node.name}</a>{node.kind !== 'service' && <span class="muted small"> {texts.map.kind_of[node.kind]}</span>}</>;
  };
  return (
    <section class="card" aria-label={texts.map.calls_between_services}>
      <div class="table-scroll">
        <table class="sums">
          <thead>
            <tr>
              <th scope="col">{texts.map.from}</th><th scope="col" class="text">{texts.map.to}</th><th scope="col">{texts.map.calls_s}</th><th scope="col">{texts.map.errors}</th><th scope="col">p50</th><th scope="col">p95</th>
              {has_queue && <th scope="col" title={texts.map.waits_title}>{texts.map.waits_p95}</th>}
            </tr>
          </thead>
          <tbody>
            {props.edges.map((edge) => (
              <tr key={`${edge.from} ${edge.to} ${edge.is_queue}`}>
                <th scope="row">{cell(edge.from)}</th>
                <td class="text">{cell(edge.to, edge.is_queue)}{edge.is_queue && <span class="muted small"> {texts.map.by_a_queue}</span>}</td>
                <td>{rate(edge.count / props.seconds)}</td>
                <td class={edge.errors ? 'error-text' : 'muted'}>{percent(edge.errors, edge.count)}</td>
                <td>{duration(edge.p50)}</td>
                <td>{duration(edge.p95)}</td>
                {has_queue && <td>{edge.wait_p95 === null ? '' : duration(edge.wait_p95)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const kUnpairedShown = 8;

/** Calls that lead nowhere on the map. */
function Unpaired(props: { answer: MapAnswer; seconds: number }) {
  const list = [...props.answer.unpaired].sort((a, b) => b.count - a.count);
  if (list.length === 0) return null;
  return (
    <section class="card prose" aria-labelledby="unpaired-title">
      <h2 id="unpaired-title">{texts.map.unpaired}</h2>
      <p class="muted">{texts.map.unpaired_are}</p>
      <ul class="plain">
        {list.slice(0, kUnpairedShown).map((one) => (
          <li key={`${one.client} ${one.type}`}><a class="underlined" href={page_link(`/service/${encodeURIComponent(one.client)}`)}>{one.client}</a> {texts.map.calls_a_second(rate(one.count / props.seconds), count(one.count))}</li>
        ))}
      </ul>
      {list.length > kUnpairedShown && <p class="muted">{texts.map.and_more_services(list.length - kUnpairedShown)}</p>}
    </section>
  );
}
