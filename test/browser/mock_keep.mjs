// Keep rules, previews, decisions and pins, as much of them as the pages ask for.

const by_default = () => ({
  recent: {},
  keep: [
    { name: 'errors', match: '{ status = error }', rate: 1 }, { name: 'slow', slowest: 0.01, rate: 1, by: ['resource.service.name', 'name'] },
    { name: 'rest', per_second: 10, by: ['resource.service.name', 'name'] },
  ],
});

const kRest = { name: 'rest', per_second: 50, by: ['resource.service.name', 'name'] };

/** What the server says of a rule that it does not take; '' of others. */
function problem_of(rule, i, all) {
  const where = `keep[${i}]${rule.name ? ` (${rule.name})` : ''}: `;
  if (!rule.name) return `${where}name: must be a text of 1 to 64 characters`;
  if (all.findIndex((one) => one.name === rule.name) < i) return `keep[${i}]: name: there are two rules '${rule.name}'`;
  if (rule.match !== undefined && !/}\s*$/.test(rule.match)) return `${where}match: parse error at line 1, col ${rule.match.length + 1}: the query ends before its closing '}'`;
  if (rule.rate !== undefined && typeof rule.rate !== 'number') return `${where}rate: must be a number`;
  if (rule.for !== undefined && !/^\d+[smhd]$/.test(rule.for)) return `${where}for: must be a duration like 24h or 30d`;
  return '';
}

const share_of = (rule) => (rule.slowest !== undefined ? 0.01 : rule.rate ?? (rule.per_second !== undefined ? 0.02 : 0.1));

export class KeepMock {
  constructor(now) {
    this.now = now;
    this.rules = { source: 'default', version: 0, changed: null, rules: by_default() };
    this.pins = [];
    this.known = new Map(); // trace id: what is answered about it
    this.refused = ''; // why nobody may change anything
    this.saves = 0;
  }

  ns(ms_ago) {
    return `${this.now() - ms_ago}000000`;
  }

  /** As if another person had saved them. */
  save(rules) {
    this.rules = { source: 'api', version: ++this.saves, changed: this.ns(0), rules: { recent: {}, ...rules } };
  }

  /** A trace that was decided about; 1 in `one_in`, null where its rule keeps none. */
  decide(id, kept, more = {}) {
    const decision = {
      at: this.ns(3 * 3_600_000), fate: kept ? 'kept' : 'dropped', rule: 'rest', rule_text: kRest, rules_source: 'api', rules_version: 4, threshold: 'fd70a3d70a3d70', one_in: 100, spans: 23, error: false, bytes: 5600,
      duration_ns: '410000000', ...more,
    };
    this.known.set(id, { state: kept ? 'kept' : 'dropped', pinned: false, ambiguous: false, stored_spans: kept ? 23 : 0, decisions: [decision], forwarded: [], known_since: this.ns(30 * 86_400_000) });
  }

  async answer(request, path, response, server) {
    let body = '';
    for await (const chunk of request) body += chunk;
    const changes = request.method === 'PUT' || request.method === 'DELETE';
    if (changes && this.refused) return server.json(response, { code: 'permission_denied', message: this.refused }, 403);
    if (path === 'rules') return changes ? this.change(request, body, response, server) : server.json(response, this.rules);
    if (path === 'preview') return this.preview(JSON.parse(body), response, server);
    const [, kind, id] = /^(why|pins)(?:\/([0-9a-f]{32}))?$/.exec(path) ?? [];
    if (kind === 'why') return server.json(response, { trace_id: id, ...this.why(id, server) });
    if (kind === 'pins' && !changes) return server.json(response, { pins: this.pins });
    this.pins = this.pins.filter((pin) => pin.trace_id !== id);
    if (request.method === 'PUT') this.pins.push({ trace_id: id, at: this.ns(0), by: '', reason: '' });
    return server.json(response, {});
  }

  why(id, server) {
    const pinned = this.pins.some((pin) => pin.trace_id === id);
    if (this.known.has(id)) return { ...this.known.get(id), pinned };
    const stored = server.trace(id)?.spans.length ?? 0;
    return { state: stored ? 'recent' : 'unknown', pinned, ambiguous: false, stored_spans: stored, decisions: [], forwarded: [], known_since: this.ns(30 * 86_400_000) };
  }

  wrong(rules) {
    return rules.keep?.map(problem_of).find((text) => text) ?? '';
  }

  change(request, body, response, server) {
    const expected = request.headers['if-none-match'] === '*' ? 0 : Number((request.headers['if-match'] ?? '').replaceAll('"', ''));
    if (expected !== this.rules.version) return server.json(response, { code: 'conflict', message: 'they are other ones by now' }, 412);
    if (request.method === 'DELETE') this.rules = { source: 'default', version: 0, changed: null, rules: by_default() };
    else {
      const rules = JSON.parse(body);
      const message = this.wrong(rules);
      if (message) return server.json(response, { code: 'invalid_argument', message }, 400);
      this.save(rules);
    }
    return server.json(response, this.rules);
  }

  /** 100,000 traces of six services; each rule matches half of what is left. */
  preview({ rules, searches = [] }, response, server) {
    const message = this.wrong(rules);
    if (message) return server.json(response, { code: 'invalid_argument', message }, 400);
    const refused = searches.findIndex((q) => / \| rate\(/.test(q));
    if (refused >= 0) return server.json(response, { code: 'invalid_argument', message: `searches[${refused}]: a search finds traces` }, 400);
    const counted = (traces, share, errors = 0) => ({
      traces, spans: traces * 9, bytes: traces * 840, error_traces: errors,
      kept: { traces: Math.round(traces * share), spans: Math.round(traces * share) * 9, bytes: Math.round(traces * share) * 840, error_traces: Math.round(errors * share) },
    });
    const add = (rows) => rows.reduce((sum, row) => Object.fromEntries(['traces', 'spans', 'bytes', 'error_traces'].map((key) => [key, (sum[key] ?? 0) + row[key]])), {});
    let left = server.empty ? 0 : 100_000;
    const by_rule = rules.keep.map((rule, i) => {
      const mine = /error/.test(rule.match ?? '') ? Math.round(left * 0.031) : i + 1 === rules.keep.length && rule.match === undefined ? left : Math.round(left * 0.02);
      left -= mine;
      return { rule: rule.name, ...counted(mine, share_of(rule), /error/.test(rule.match ?? '') ? mine : 0) };
    });
    by_rule.push({ rule: null, ...counted(left, 0) });
    const total = { ...add(by_rule), kept: add(by_rule.map((row) => row.kept)) };
    const share = total.kept.traces / Math.max(1, total.traces);
    const by_service = server.empty ? [] : [['frontend', 0.52], ['checkout', 0.24], ['cart', 0.13], ['catalog', 0.07], ['payment', 0.03], ['', 0.01]].map(([service, part]) => ({ service, ...counted(Math.round(total.traces * part), share) }));
    const by_search = searches.map((search) => ({ search, ...counted(1200, /error/.test(search) ? 1 : /4815/.test(search) ? 0 : 0.02) }));
    server.json(response, { rules, by_search, from: this.ns(86_400_000), to: this.ns(60_000), total, by_rule, by_service, kept_bytes_per_day: total.kept.bytes, days: total.kept.bytes ? 418.4 : null, elapsed_ms: 12 });
  }
}
