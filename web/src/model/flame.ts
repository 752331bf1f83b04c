import type { Trace } from './trace.ts';
import * as texts from '../texts/texts.ts';

/** How many lanes below its parent a span may look for room before it is drawn over another. */
const kLaneSearchMax = 64;

/** Lane of every row: spans go below their parents, and those that run at the same time below each other. */
export interface Lanes {
  lane: Uint32Array;
  count: number;
}

export function lanes_of(trace: Trace): Lanes {
  const order = Uint32Array.from({ length: trace.n }, (_, row) => row).sort((a, b) => trace.start[a] - trace.start[b] || a - b);
  const lane = new Uint32Array(trace.n);
  const busy_until: number[] = [];
  let count = 0;
  for (const row of order) {
    const parent = trace.parent[row];
    const first = parent >= 0 ? lane[parent] + 1 : 0;
    let at = first;
    while (at < first + kLaneSearchMax && (busy_until[at] ?? -Infinity) > trace.start[row]) at++;
    if (at === first + kLaneSearchMax) at = first;
    lane[row] = at;
    busy_until[at] = Math.max(busy_until[at] ?? -Infinity, trace.start[row] + trace.dur[row]);
    if (at + 1 > count) count = at + 1;
  }
  return { lane, count };
}

/** All spans with the same operations above them, as one. `value` is self time, its own and all below it, in ns. */
export interface MergedNode {
  parent: number;
  depth: number;
  service: number;
  name: string;
  value: number;
  self: number;
  count: number;
  errors: number;
  /** The longest span that is in it. */
  longest: number;
  /** Where it stands: from 0 to the whole. */
  x: number;
  children: number[];
}

/** The merged flame, heaviest first from the left. Node 0 stands for the trace. Rows of `node_of` lead back. */
export interface MergedFlame {
  nodes: MergedNode[];
  node_of: Uint32Array;
  depth: number;
}

export function merge_flame(trace: Trace): MergedFlame {
  const nodes: MergedNode[] = [node(-1, 0, -1, texts.model.whole_trace)];
  const node_of = new Uint32Array(trace.n);
  const known = new Map<string, number>();
  let depth = 0;
  for (let row = 0; row < trace.n; row++) {
    const above = trace.parent[row] >= 0 ? node_of[trace.parent[row]] : 0;
    const key = `${above} ${trace.service[row]} ${trace.name[row]}`;
    let at = known.get(key);
    if (at === undefined) {
      at = nodes.length;
      known.set(key, at);
      nodes.push(node(above, nodes[above].depth + 1, trace.service[row], trace.name_of(row)));
      nodes[above].children.push(at);
      nodes[at].longest = row;
      depth = Math.max(depth, nodes[at].depth);
    }
    const entry = nodes[at];
    node_of[row] = at;
    entry.count++;
    entry.self += trace.self_time(row);
    if (trace.is_error(row)) entry.errors++;
    if (trace.dur[row] > trace.dur[entry.longest]) entry.longest = row;
  }
  place(nodes);
  return { nodes, node_of, depth };
}

function node(parent: number, depth: number, service: number, name: string): MergedNode {
  return { parent, depth, service, name, value: 0, self: 0, count: 0, errors: 0, longest: 0, x: 0, children: [] };
}

/** A parent comes before its children in the list, so one pass back sums and one pass forward places. */
function place(nodes: MergedNode[]): void {
  for (let at = nodes.length - 1; at >= 0; at--) {
    nodes[at].value += nodes[at].self;
    if (nodes[at].parent >= 0) nodes[nodes[at].parent].value += nodes[at].value;
  }
  for (const entry of nodes) {
    entry.children.sort((a, b) => nodes[b].value - nodes[a].value || a - b);
    let x = entry.x;
    for (const child of entry.children) {
      nodes[child].x = x;
      x += nodes[child].value;
    }
  }
}
