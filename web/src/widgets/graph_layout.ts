export interface Layout {
  width: number;
  height: number;
  /** Centres, in the order of the nodes. */
  nodes: { x: number; y: number }[];
  /** The line as an SVG path and the place of its label, in the order of the edges. */
  edges: { line: string; x: number; y: number }[];
}

const kMargin = 16;
const kLabel = { width: 96, height: 16, labelpos: 'c' };

interface Point {
  x: number;
  y: number;
}

/** A curve from the right side of a box to the left side of a later one, through the bends; a call back goes straight, as it was laid out. */
export function line_of(from: Point, to: Point, bends: readonly Point[], half_width: number): string {
  const write = (p: Point): string => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
  const begin = { x: from.x + half_width, y: from.y };
  const end = { x: to.x - half_width, y: to.y };
  if (begin.x >= end.x) return bends.map((p, i) => `${i ? 'L' : 'M'}${write(p)}`).join('');
  const stops = [begin, ...bends.filter((p) => p.x > begin.x && p.x < end.x), end];
  return stops.map((p, i) => {
    if (i === 0) return `M${write(p)}`;
    const before = stops[i - 1];
    const middle = (before.x + p.x) / 2;
    return `C${write({ x: middle, y: before.y })} ${write({ x: middle, y: p.y })} ${write(p)}`;
  }).join('');
}

/** Layers from left to right. The layout library is loaded when a graph is first drawn. */
export async function lay_out(
  keys: readonly string[], edges: readonly { from: string; to: string }[], node_width: number, node_height: number,
): Promise<Layout> {
  const { default: dagre } = await import('@dagrejs/dagre');
  const graph = new dagre.graphlib.Graph({ multigraph: false });
  graph.setGraph({ rankdir: 'LR', nodesep: 18, ranksep: 36, marginx: kMargin, marginy: kMargin });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const key of keys) graph.setNode(key, { width: node_width, height: node_height });
  for (const edge of edges) graph.setEdge(edge.from, edge.to, { ...kLabel });
  dagre.layout(graph);
  const size = graph.graph();
  return {
    width: Math.ceil(size.width ?? 0),
    height: Math.ceil(size.height ?? 0),
    nodes: keys.map((key) => {
      const { x, y } = graph.node(key);
      return { x: x ?? 0, y: y ?? 0 };
    }),
    edges: edges.map((edge) => {
      const { points, x, y } = graph.edge(edge.from, edge.to);
      const at = (key: string): Point => ({ x: graph.node(key).x ?? 0, y: graph.node(key).y ?? 0 });
      return { line: line_of(at(edge.from), at(edge.to), points ?? [], node_width / 2), x: x ?? 0, y: y ?? 0 };
    }),
  };
}
