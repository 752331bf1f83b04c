export interface Layout {
  width: number;
  height: number;
  /** Centres, in the order of the nodes. */
  nodes: { x: number; y: number }[];
  /** Bends and the place of the label, in the order of the edges. */
  edges: { points: { x: number; y: number }[]; x: number; y: number }[];
}

const kMargin = 16;
const kLabel = { width: 96, height: 16, labelpos: 'c' };

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
      return { points: points ?? [], x: x ?? 0, y: y ?? 0 };
    }),
  };
}
