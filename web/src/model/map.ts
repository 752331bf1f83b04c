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
