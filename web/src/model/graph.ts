import type { Trace } from './trace.ts';

/** A service of a trace, or one operation of a service that is opened. */
export interface GraphNode {
  key: string;
  service: number;
  /** Of an operation; '' where the node is the whole service. */
  name: string;
  spans: number;
  errors: number;
  self: number;
  longest: number;
}

export interface GraphEdge {
  from: string;
  to: string;
  calls: number;
  errors: number;
  total: number;
  longest: number;
}

export interface TraceGraph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

/** The trace folded to its services, those in `opened` to their operations; an edge is a span below one of another node. */
export function fold_graph(trace: Trace, opened: ReadonlySet<number>): TraceGraph {
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, GraphEdge>();
  const key_of = (row: number): string =>
    opened.has(trace.service[row]) ? `${trace.service[row]}/${trace.name[row]}` : String(trace.service[row]);
  for (let row = 0; row < trace.n; row++) {
    const key = key_of(row);
    const failed = trace.is_error(row) ? 1 : 0;
    let node = nodes.get(key);
    if (!node) {
      const name = opened.has(trace.service[row]) ? trace.name_of(row) : '';
      node = { key, service: trace.service[row], name, spans: 0, errors: 0, self: 0, longest: row };
      nodes.set(key, node);
    }
    node.spans++;
    node.errors += failed;
    node.self += trace.self_time(row);
    if (trace.dur[row] > trace.dur[node.longest]) node.longest = row;
    const parent = trace.parent[row];
    const from = parent >= 0 ? key_of(parent) : '';
    if (from === '' || from === key) continue;
    let edge = edges.get(`${from} ${key}`);
    if (!edge) {
      edge = { from, to: key, calls: 0, errors: 0, total: 0, longest: row };
      edges.set(`${from} ${key}`, edge);
    }
    edge.calls++;
    edge.errors += failed;
    edge.total += trace.dur[row];
    if (trace.dur[row] > trace.dur[edge.longest]) edge.longest = row;
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}
