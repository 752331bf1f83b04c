// Who calls whom in the fixtures, as the server counts it: services, databases, who calls in, and a queue.

const ms = 1e6;

function quantile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? 0);
}

const database_of = ({ attributes = {} }) => attributes['db.namespace'] ?? attributes['db.system.name'] ?? attributes['db.system'];

export function answer_map(traces, params, sampled) {
  const from = Number(params.get('from')) / ms;
  const to = Number(params.get('to')) / ms;
  const nodes = new Map();
  const edges = new Map();
  const unpaired = new Map();
  const count = (all, key, first, span) => {
    const known = all.get(key) ?? { ...first, durations: [], errors: 0 };
    known.durations.push(span.dur);
    known.errors += span.error ? 1 : 0;
    all.set(key, known);
  };
  for (const trace of traces) {
    const at_ms = Number(trace.t0 / 1000000n);
    if (at_ms < from || at_ms >= to) continue;
    trace.spans.forEach(({ span, parent }, row) => {
      count(nodes, span.service, { name: span.service }, span);
      const caller = parent >= 0 ? trace.spans[parent].span.service : null;
      const edge = (client, server, type) => count(edges, `${client} ${server} ${type}`, { client, server, type }, span);
      if (caller !== null && caller !== span.service) edge(caller, span.service, span.kind === 'consumer' || span.service === 'fraud' ? 'messaging_system' : '');
      if (caller === null && span.kind === 'server' && !span.orphan) edge('user', span.service, 'virtual_node');
      if (span.kind !== 'client' || trace.spans[row + 1]?.parent === row) return;
      const database = database_of(span);
      if (database) edge(span.service, database, 'database');
      else count(unpaired, span.service, { client: span.service, server: '', type: '' }, span);
    });
  }
  const of = ({ durations, errors, ...rest }) => ({
    ...rest, spans: durations.length, count: durations.length * (sampled ? 10 : 1), errors, p50_ns: quantile(durations, 0.5), p95_ns: quantile(durations, 0.95),
    ...(rest.type === 'messaging_system' ? { queue_p50_ns: 4 * ms, queue_p95_ns: 31 * ms } : {}),
  });
  return { nodes: [...nodes.values()].map(of).map((node) => ({ ...node, rate: node.count / ((to - from) / 1000) })), edges: [...edges.values()].map(of), unpaired: [...unpaired.values()].map(of), partial: false, reason: '', ms: 3 };
}
