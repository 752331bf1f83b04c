import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { count, duration, percent, rate } from '../../model/format.ts';
import type { MapEdge, MapNode } from '../../model/map.ts';
import { go } from '../../state/router.ts';
import { type Layout, lay_out } from '../../widgets/graph_layout.ts';
import * as texts from '../../texts/texts.ts';

const kWidth = 168;
const kHeight = 46;
const kNameMax = 20;
const kNodesMax = 120;
const kFailing = 0.01;
/** To where lines are straight. */
const kLabelShift = 14;

type Link = (node: MapNode) => string;

/** The services as boxes from left to right. Two ways between the same two are drawn as one, with what is called more. */
export function Picture(props: { edges: MapEdge[]; nodes: Map<string, MapNode>; seconds: number; focus: string; link: Link }) {
  const { nodes, seconds } = props;
  const edges = useMemo(() => [...new Map([...props.edges].reverse().map((edge) => [`${edge.from} ${edge.to}`, edge])).values()], [props.edges]);
  const drawn = useSignal<{ edges: MapEdge[]; ids: string[]; layout: Layout } | null>(null);
  const ids = useMemo(() => [...new Set(edges.flatMap((edge) => [edge.from, edge.to]))], [edges]);
  useEffect(() => {
    let current = true;
    if (ids.length <= kNodesMax) {
      void lay_out(ids, edges, kWidth, kHeight).then((layout) => {
        if (current) drawn.value = { edges, ids, layout };
      });
    }
    return () => {
      current = false;
    };
  }, [edges]);
  if (ids.length > kNodesMax) return <p class="muted">{texts.map.services_are_too_many_to_draw(count(ids.length))}</p>;
  const now = drawn.value;
  if (!now) return null;
  const most = Math.max(1, ...now.edges.map((edge) => edge.count));
  return (
    <div class="card graph-card" tabIndex={0} role="region" aria-label={texts.map.map_of_the_services}>
      <svg class="graph" width={now.layout.width} height={now.layout.height} role="group" aria-label={texts.map.services_and_calls}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" class="arrow" /></marker>
          <clipPath id="node-inside"><rect width={kWidth - 6} height={kHeight} /></clipPath>
        </defs>
        {now.edges.map((edge, i) => (
          <g key={`${edge.from} ${edge.to}`} class={`edge${is_failing(edge) ? ' failed' : ''}${edge.is_queue ? ' queue' : ''}`} aria-hidden="true">
            <path d={now.layout.edges[i].line} style={{ 'stroke-width': String(1 + 2.5 * Math.sqrt(edge.count / most)) }} marker-end="url(#arrow)" />
          </g>
        ))}
        {now.edges.map((edge, i) => <Label key={`${edge.from} ${edge.to}`} edge={edge} at={now.layout.edges[i]} seconds={seconds} />)}
        {now.ids.map((id, i) => <Box key={id} node={nodes.get(id)!} at={now.layout.nodes[i]} chosen={id === props.focus} to={props.link(nodes.get(id)!)} />)}
      </svg>
    </div>
  );
}

const is_failing = (edge: MapEdge): boolean => edge.errors / edge.count >= kFailing;

/** After all lines, so that none is drawn through it: rate and errors above the line, below it how long calls take, or messages wait. */
function Label(props: { edge: MapEdge; at: { x: number; y: number }; seconds: number }) {
  const { edge } = props;
  const at = { x: props.at.x + kLabelShift, y: props.at.y };
  const below = edge.wait_p95 !== null ? texts.map.waits(duration(edge.wait_p95)) : Number.isFinite(edge.p95) ? `p95 ${duration(edge.p95)}` : '';
  return (
    <g class={`edge-label${is_failing(edge) ? ' failed' : ''}`} aria-hidden="true">
      <text x={at.x} y={at.y - 5} text-anchor="middle">{texts.map.s(rate(edge.count / props.seconds))}{is_failing(edge) ? ` ✕ ${percent(edge.errors, edge.count)}` : ''}</text>
      {below && <text class="below" x={at.x} y={at.y + 13} text-anchor="middle">{below}</text>}
    </g>
  );
}

function Box(props: { node: MapNode; at: { x: number; y: number }; chosen: boolean; to: string }) {
  const { node, at, to } = props;
  const each = node.kind === 'service' ? texts.map.spans_s : texts.map.calls_each_s;
  const facts = `${each(rate(node.rate))}${node.errors ? ` · ✕ ${percent(node.errors, node.count)}` : ''}`;
  const kind = texts.map.kind_of[node.kind];
  const room = kNameMax - (kind ? kind.length + 1 : 0);
  const label = node.name.length > room ? `${node.name.slice(0, room - 1)}…` : node.name;
  return (
    <g
      class={`node of-${node.kind}${props.chosen ? ' selected' : ''}`} role="link" tabindex={0} transform={`translate(${at.x - kWidth / 2} ${at.y - kHeight / 2})`} onClick={() => go(to)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') go(to);
      }}
    >
      {node.kind === 'database' ? <Drum /> : <rect class="shape" width={kWidth} height={kHeight} rx={8} />}
      <g clip-path="url(#node-inside)">
        <text class="node-name" x={12} y={node.kind === 'database' ? 22 : 20}>{label}{kind && <tspan class="node-kind"> {kind}</tspan>}</text>
        <text class="node-facts" x={12} y={node.kind === 'database' ? 37 : 36}>{facts}</text>
      </g>
    </g>
  );
}

const kRim = 4;

function Drum() {
  const side = `M0 ${kRim}A${kWidth / 2} ${kRim} 0 0 1 ${kWidth} ${kRim}V${kHeight - kRim}A${kWidth / 2} ${kRim} 0 0 1 0 ${kHeight - kRim}Z`;
  return (
    <>
      <path class="shape" d={side} />
      <path class="rim" d={`M0 ${kRim}A${kWidth / 2} ${kRim} 0 0 0 ${kWidth} ${kRim}`} />
    </>
  );
}
