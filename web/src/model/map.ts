import type { MapAnswer, MapEdgeAnswer } from '../api/types.ts';

/** `outside` sent no spans itself: whoever calls in, or what its callers name. */
export type NodeKind = 'service' | 'database' | 'outside';

export interface MapNode {
  /** The name of a service; of others with their kind before it. Stands in the address. */
  id: string;
  name: string;
  kind: NodeKind;
  /** Spans of a service; calls to or from what sent none. */
  count: number;
  errors: number;
  /** A second. */
  rate: number;
}

export interface MapEdge {
  from: string;
  to: string;
  is_queue: boolean;
  count: number;
  errors: number;
  p50: number;
  p95: number;
  /** From sending to receiving, ns; null where nothing waited in a queue. */
  wait_p50: number | null;
  wait_p95: number | null;
}

export interface ServiceMap {
  nodes: Map<string, MapNode>;
  /** Most calls first. */
  edges: MapEdge[];
  sampled: boolean;
}

const id_of = (kind: NodeKind, name: string): string => (kind === 'service' ? name : `${kind}/${name}`);

/** What the server counted in so many seconds, as a graph. */
export function map_of(answer: MapAnswer, seconds: number): ServiceMap {
  const nodes = new Map<string, MapNode>();
  for (const { name, rate, count, errors } of answer.nodes) nodes.set(name, { id: name, name, kind: 'service', count, errors, rate });
  const node = (kind: NodeKind, name: string, edge: MapEdgeAnswer): string => {
    // What sends spans is a service, whatever its callers say of it.
    const id = nodes.get(name)?.kind === 'service' ? name : id_of(kind, name);
    const known = nodes.get(id) ?? { id, name, kind, count: 0, errors: 0, rate: 0 };
    nodes.set(id, known);
    if (known.kind !== 'service') {
      known.count += edge.count;
      known.errors += edge.errors;
      known.rate = known.count / seconds;
    }
    return id;
  };
  const edges = answer.edges.map((edge): MapEdge => ({
    from: node('outside', edge.client, edge), to: node(edge.type === 'database' ? 'database' : 'outside', edge.server, edge), is_queue: edge.type === 'messaging_system',
    count: edge.count, errors: edge.errors, p50: edge.p50_ns, p95: edge.p95_ns, wait_p50: edge.queue_p50_ns ?? null, wait_p95: edge.queue_p95_ns ?? null,
  }));
  return { nodes, edges: edges.filter((edge) => edge.from !== edge.to).sort((a, b) => b.count - a.count), sampled: [...answer.edges, ...answer.nodes].some((one) => one.count > one.spans * 1.0001) };
}

/** The edges at most `hops` away from `focus`, whichever way they go; all where there is no focus. */
export function around<T extends { from: string; to: string }>(edges: readonly T[], focus: string, hops: number): T[] {
  if (!focus) return [...edges];
  const distance = new Map([[focus, 0]]);
  const queue = [focus];
  for (let at = 0; at < queue.length; at++) {
    const far = distance.get(queue[at]) as number;
    if (far === hops) continue;
    for (const edge of edges) {
      const other = edge.from === queue[at] ? edge.to : edge.to === queue[at] ? edge.from : null;
      if (other === null || distance.has(other)) continue;
      distance.set(other, far + 1);
      queue.push(other);
    }
  }
  const near = (name: string): number => distance.get(name) ?? Infinity;
  return edges.filter((edge) => Math.min(near(edge.from), near(edge.to)) < hops && Math.max(near(edge.from), near(edge.to)) <= hops);
}
