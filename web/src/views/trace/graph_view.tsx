import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { count, duration, percent } from '../../model/format.ts';
import { fold_graph, type GraphEdge, type GraphNode, type TraceGraph } from '../../model/graph.ts';
import { color_of } from '../../widgets/bits.tsx';
import { type Layout, lay_out } from '../../widgets/graph_layout.ts';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kNodeWidth = 190;
const kNodeHeight = 46;
/** More nodes than this are a thicket: the table says more. */
const kNodesMax = 150;

/** Who calls whom inside the trace. Services open into their operations; the table below has the same edges in words. */
export function GraphView(props: { view: ViewState }) {
  const { view } = props;
  const drawn = useSignal<{ graph: TraceGraph; layout: Layout } | null>(null);
  const graph = useMemo(() => fold_graph(view.trace, view.opened.value), [view, view.opened.value]);
  const too_many = graph.nodes.length > kNodesMax;

  useEffect(() => {
    let current = true;
    if (!too_many) {
      void lay_out(graph.nodes.map((node) => node.key), graph.edges, kNodeWidth, kNodeHeight).then((layout) => {
        if (current) drawn.value = { graph, layout };
      });
    }
    return () => {
      current = false;
    };
  }, [graph]);

  return (
    <div class="graph-view" tabIndex={0} role="region" aria-label={texts.trace.graph_of_the_trace}>
      {too_many && <p class="view-note">{texts.trace.nodes_are_too_many_to_draw(count(graph.nodes.length))}</p>}
      {drawn.value && !too_many && <Picture graph={drawn.value.graph} layout={drawn.value.layout} view={view} toggle={(service) => view.toggle_service(service)} />}
      <Edges graph={graph} view={view} />
    </div>
  );
}

function Picture(props: { graph: TraceGraph; layout: Layout; view: ViewState; toggle: (service: number) => void }) {
  const { graph, layout, view } = props;
  const most = Math.max(1, ...graph.edges.map((edge) => edge.calls));
  return (
    <svg class="graph" width={layout.width} height={layout.height} viewBox={`0 0 ${layout.width} ${layout.height}`} role="group" aria-label={texts.trace.services_and_calls}>
      <defs>
        <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
          <path d="M0 0L8 4L0 8z" class="arrow" />
        </marker>
        <clipPath id="node-inside"><rect width={kNodeWidth - 6} height={kNodeHeight} /></clipPath>
      </defs>
      {graph.edges.map((edge, i) => (
        <Line key={`${edge.from} ${edge.to}`} edge={edge} path={layout.edges[i]} weight={edge.calls / most} />
      ))}
      {graph.edges.map((edge, i) => (
        <Label key={`${edge.from} ${edge.to}`} edge={edge} path={layout.edges[i]} />
      ))}
      {graph.nodes.map((node, i) => (
        <Box key={node.key} node={node} at={layout.nodes[i]} view={view} open={node.name !== ''} toggle={() => props.toggle(node.service)} />
      ))}
    </svg>
  );
}

function Line(props: { edge: GraphEdge; path: Layout['edges'][number]; weight: number }) {
  const { edge, path } = props;
  return (
    <g class={edge.errors ? 'edge failed' : 'edge'} aria-hidden="true">
      <path d={path.line} style={{ 'stroke-width': String(1 + 2.5 * props.weight) }} marker-end="url(#arrow)" />
    </g>
  );
}

/** After all lines, so that none is drawn through it. */
function Label(props: { edge: GraphEdge; path: Layout['edges'][number] }) {
  const { edge, path } = props;
  return (
    <g class={edge.errors ? 'edge-label failed' : 'edge-label'} aria-hidden="true">
      <text x={path.x} y={path.y - 5} text-anchor="middle">
        {edge.calls > 1 ? `×${count(edge.calls)} ` : ''}{duration(edge.total / edge.calls)}{edge.errors ? ` ✕${count(edge.errors)}` : ''}
      </text>
    </g>
  );
}

function Box(props: { node: GraphNode; at: { x: number; y: number }; view: ViewState; open: boolean; toggle: () => void }) {
  const { node, at, view } = props;
  const { trace } = view;
  const service = trace.header.services[node.service] || texts.trace.unknown_service;
  const name = cut(node.name || service);
  const failed = node.errors ? ` ✕${count(node.errors)}` : '';
  const facts = texts.trace.node_facts(node.name ? `${cut(service, 12)} · ` : '', count(node.spans), duration(node.self), percent(node.self, trace.duration), failed);
  const press = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    props.toggle();
  };
  return (
    <g
      class={`node${trace.service[view.selected.value] === node.service ? ' selected' : ''}`} role="button" tabindex={0} aria-description={props.open ? texts.trace.fold_to_the_service : texts.trace.open_its_operations} aria-expanded={props.open}
      transform={`translate(${at.x - kNodeWidth / 2} ${at.y - kNodeHeight / 2})`} onClick={props.toggle} onKeyDown={press}
    >
      <rect width={kNodeWidth} height={kNodeHeight} rx={8} />
      <rect class="stripe" width={5} height={kNodeHeight} rx={2.5} style={{ fill: color_of(trace.slots[node.service]) }} />
      <g clip-path="url(#node-inside)">
        <text class="node-name" x={14} y={19}>{name}</text>
        <text class="node-facts" x={14} y={36}>{facts}</text>
      </g>
    </g>
  );
}

function cut(text: string, most = 25): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function Edges(props: { graph: TraceGraph; view: ViewState }) {
  const { graph, view } = props;
  const names = new Map(graph.nodes.map((node) => [node.key, `${view.trace.header.services[node.service] || texts.trace.unknown_service}${node.name ? ` ${node.name}` : ''}`]));
  if (graph.edges.length === 0) return <p class="muted">{texts.trace.all_spans_are_of_one_service}</p>;
  const sorted = [...graph.edges].sort((a, b) => b.total - a.total);
  return (
    <table class="sums">
      <thead>
        <tr><th scope="col">{texts.trace.from}</th><th scope="col" class="text">{texts.trace.to}</th><th scope="col">{texts.trace.calls}</th><th scope="col">{texts.trace.errors}</th><th scope="col">{texts.trace.total}</th><th scope="col">{texts.trace.mean}</th></tr>
      </thead>
      <tbody>
        {sorted.map((edge) => (
          <tr key={`${edge.from} ${edge.to}`}>
            <th scope="row">{names.get(edge.from)}</th>
            <td class="text">
              <button type="button" class="operation-link" title={texts.trace.select_the_longest_call} onClick={() => view.select(edge.longest)}>{names.get(edge.to)}</button>
            </td>
            <td>{count(edge.calls)}</td>
            <td class={edge.errors ? 'error-text' : 'muted'}>{edge.errors ? `✕ ${count(edge.errors)}` : '0'}</td>
            <td>{duration(edge.total)}</td>
            <td>{duration(edge.total / edge.calls)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
