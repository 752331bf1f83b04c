// Serves web/dist and the API of the UI from fixtures: for states that a real server reaches only with trouble.
// Alone: node test/browser/mock_server.mjs [port]

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { make_fixtures, named_id } from './fixtures.mjs';
import { KeepMock } from './mock_keep.mjs';
import { answer_map } from './mock_map.mjs';
import { answer_metrics, value_of as metric_value } from './mock_metrics.mjs';
import { encode_slt1 } from './slt1_encode.mjs';

const dist = join(dirname(fileURLToPath(import.meta.url)), '../../web/dist');
const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Files as they are sent, by path. */
const packed = new Map();

export class MockServer {
  constructor(clock_ms = null) {
    this.clock_ms = clock_ms;
    this.now_ms = this.now();
    this.fixtures = make_fixtures(this.now_ms);
    this.empty = false;
    this.failing = null; // {path, status, body}: makes matching calls fail
    this.dead = false;
    this.skeletons = new Map();
    this.documents = new Map(); // path: {body, version}
    this.keep = new KeepMock(() => this.now());
    this.sampled = false; // whether counts are estimates
  }

  /** Milliseconds; stands still where `clock_ms` is given. */
  now() {
    return this.clock_ms ?? Date.now();
  }

  start(port = 0) {
    this.server = createServer((request, response) => this.answer(request, response).catch((error) => this.fail(response, error)));
    return new Promise((resolve) => this.server.listen(port, '127.0.0.1', () => {
      this.url = `http://127.0.0.1:${this.server.address().port}`;
      resolve(this.url);
    }));
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  fail(response, error) {
    console.error(error);
    response.writeHead(500).end(JSON.stringify({ code: 'internal', message: String(error) }));
  }

  async answer(request, response) {
    if (this.dead) return void request.destroy();
    const url = new URL(request.url, this.url);
    if (url.pathname === '/tempo/api/metrics/query_range') response.setHeader('x-spanloom-sampled', String(this.sampled));
    if (url.pathname === '/tempo/api/metrics/query_range') return this.json(response, answer_metrics(this.fixtures.list, url.searchParams, span_of));
    if (url.pathname.startsWith('/api/keep/')) return this.keep.answer(request, url.pathname.slice('/api/keep/'.length), response, this);
    if (url.pathname.startsWith('/api/documents/')) return this.document(request, url, response);
    if (!url.pathname.startsWith('/api/ui/v1/')) return this.file(url.pathname, response);
    const path = url.pathname.slice('/api/ui/v1/'.length);
    if (this.failing && path.startsWith(this.failing.path)) return this.json(response, this.failing.body, this.failing.status);
    let body = '';
    for await (const chunk of request) body += chunk;
    return this.api(path, url.searchParams, body ? JSON.parse(body) : {}, response);
  }

  async document(request, url, response) {
    const path = url.pathname.slice('/api/documents/'.length);
    if (!path.includes('/')) {
      const documents = [...this.documents].filter(([name]) => name.startsWith(`${path}/`)).reverse();
      return this.json(response, { documents: documents.map(([name, one]) => ({ name, version: one.version, body: JSON.parse(one.body) })) });
    }
    if (request.method === 'DELETE') {
      this.documents.delete(path);
      return this.json(response, {});
    }
    const known = this.documents.get(path) ?? { body: 'null', version: 0 };
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'application/json', etag: `"${known.version}"` });
      return void response.end(known.body);
    }
    const expected = request.headers['if-none-match'] === '*' ? 0 : Number(request.headers['if-match'].replaceAll('"', ''));
    if (expected !== known.version) return this.json(response, { code: 'conflict', message: 'it has changed' }, 412);
    let body = '';
    for await (const chunk of request) body += chunk;
    this.documents.set(path, { body, version: known.version + 1 });
    response.writeHead(200, { 'content-type': 'application/json', etag: `"${known.version + 1}"` });
    response.end(body);
  }

  async file(path, response) {
    const wanted = path.startsWith('/assets/') || path === '/favicon.svg' ? path : '/index.html';
    if (!packed.has(wanted)) packed.set(wanted, readFile(join(dist, normalize(wanted))).then((bytes) => gzipSync(bytes), () => null));
    const bytes = await packed.get(wanted);
    if (!bytes) return void response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': types[extname(wanted)] ?? 'application/octet-stream', 'content-security-policy': policy, 'x-content-type-options': 'nosniff',
      'content-encoding': 'gzip', 'cache-control': wanted.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    });
    response.end(bytes);
  }

  json(response, value, status = 200) {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  }

  not_found(response) {
    this.json(response, { code: 'not_found', message: 'no trace with this id is stored', hint: '', pos: null, requestId: 'r-17' }, 404);
  }

  trace(id) {
    if (id === named_id('100k')) return this.fixtures.large();
    for (const trace of this.fixtures.special.values()) if (trace.id === id) return trace;
    return this.fixtures.list.find((trace) => trace.id === id) ?? null;
  }

  services() {
    if (this.empty) return [];
    return ['auth', 'cart', 'catalog', 'checkout', 'fraud', 'frontend', 'payment', 'recommend', 'shipping'];
  }

  api(path, params, body, response) {
    const now = `${this.now()}000000`;
    if (path === 'boot') {
      return this.json(response, {
        version: '0.1.0', features: ['search', 'trace', 'metrics'], services: this.services(), now_ns: now,
        endpoints: { otlp_grpc: '127.0.0.1:4317', otlp_http: '127.0.0.1:4318' }, spans: this.empty ? '0' : '1284031', limits: { search_limit_max: 1000 },
      });
    }
    if (path === 'health') {
      return this.json(response, {
        spans: '1284031', spans_per_s: 412.5, disk_bytes: '48213000', memory_bytes: '61200000', oldest_ns: `${this.now_ms - 86400000 * 3}000000`, rejected: '0', state: 'ok', reason: '',
      });
    }
    if (path === 'services') return this.json(response, this.service_series(params));
    if (path === 'search') return this.search(body, response);
    if (path === 'operations') return this.json(response, { operations: ['POST /checkout', 'GET /cart/{id}', 'Charge'].map((name) => ({ name, kind: 'server' })) });
    if (path === 'keys') {
      return this.json(response, { keys: params.get('scope') === 'resource' ? ['service.name', 'service.version', 'host.name'] : ['http.request.method', 'http.response.status_code', 'user.id', 'db.query.text'] });
    }
    if (path === 'map') return this.json(response, answer_map(this.empty ? [] : this.fixtures.list, params, this.sampled));
    if (path === 'values' && params.get('key') === 'name') return this.json(response, { values: this.operation_names(params.get('q')) });
    if (path === 'values') return this.json(response, { values: this.services().map((value) => ({ type: 'string', value })) });
    if (path === 'settings') return this.json(response, this.settings());
    if (path === 'sampling') {
      return this.json(response, { services: this.services().map((name, i) => ({ name, spans: 1000 * (i + 1), weighted: name === 'catalog' ? 40000 : 1000 * (i + 1) })), partial: false, reason: '' });
    }
    if (path === 'parse') return this.json(response, parse(split_hint(body.q)[0]));
    const match = /^trace\/([0-9a-f]{32})\/(skeleton|rows|baseline|find)$/.exec(path);
    const trace = match && this.trace(match[1]);
    if (!trace) return this.not_found(response);
    if (match[2] === 'baseline') return this.json(response, { operations: this.usual(trace) });
    if (match[2] === 'find') return this.json(response, { rows: this.rows_with(trace, params.get('q').toLowerCase()) });
    return match[2] === 'skeleton' ? this.skeleton(trace, params.get('span'), response) : this.rows(trace, params.get('rows'), response);
  }

  operation_names(q) {
    const pattern = /"\(\?i\)((?:[^"\\]|\\.)*)"/.exec(q)?.[1] ?? '.*';
    const wanted = new RegExp(`^${JSON.parse(`"${pattern}"`)}$`, 'i');
    return [...new Set(this.fixtures.list.flatMap((trace) => trace.spans.map(({ span }) => span.name)))].filter((name) => wanted.test(name)).sort().map((value) => ({ type: 'string', value }));
  }

  skeleton(trace, span, response) {
    const sel = span ? trace.row_of(span) : -1;
    const key = `${trace.id} ${sel}`;
    if (!this.skeletons.has(key)) this.skeletons.set(key, gzipSync(encode_slt1(trace.header(sel), trace.rows)));
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' });
    response.end(this.skeletons.get(key));
  }

  rows(trace, text, response) {
    const rows = [];
    for (const part of text.split(',')) {
      const [from, to = from] = part.split('-').map(Number);
      for (let row = from; row <= Math.min(to, trace.rows.length - 1); row++) rows.push(trace.row_json(row));
    }
    this.json(response, { rows });
  }

  /** Of every operation, as long as its first span in the trace, but that failed ones are usually quicker. */
  usual(trace) {
    const found = new Map();
    for (const { span } of trace.spans.slice(0, 5000)) {
      const key = `${span.service} ${span.name}`;
      const p50 = Math.round(span.error ? span.dur / 9 : span.dur * 0.9);
      if (!found.has(key)) found.set(key, { service: span.service, name: span.name, kind: span.kind ?? 'internal', count: 1204, errors: 3, p50_ns: p50, p95_ns: Math.round(p50 * 1.6) });
    }
    return [...found.values()];
  }

  rows_with(trace, text) {
    const rows = [];
    trace.spans.slice(0, 5000).forEach(({ span }, row) => {
      if (JSON.stringify([span.name, span.attributes, span.events]).toLowerCase().includes(text)) rows.push(row, row + 1);
    });
    return rows;
  }

  settings() {
    const one = (key, value, text, is_default = true) => ({ key, value, text, is_default });
    return {
      version: '0.1.0',
      settings: [
        one('data', '"./spanloom-data"', 'where everything is kept'), one('listen.http', '"127.0.0.1:16686"', 'web UI and query APIs'), one('retention.for', '336h', 'how long spans are kept, by arrival', false),
        one('retention.bytes', '0', 'most bytes of segments; 0 means no limit'), one('retention.disk_used_max', '0.8', 'share of the disk in use at which the oldest hour goes (0 to 1)'), one('retention.decisions', '30d', 'how long it is known why a trace was kept or dropped'), one('auth.token', '(hidden)', 'what clients send', false),
      ],
      storage: {
        spans: '1284031', segments: 14, disk_bytes: '48213000', kept_bytes: '0', log_bytes: '1200000', oldest_ns: `${this.now_ms - 86400000 * 3}000000`, quarantined: 0, duplicates: 17,
        disk: { total_bytes: '500000000000', free_bytes: '210000000000' }, state: 'ok', reason: '',
      },
    };
  }

  service_series(params) {
    const from = BigInt(params.get('from'));
    const to = BigInt(params.get('to'));
    const step = BigInt(params.get('step'));
    const n = Number((to - from) / step);
    const shape = { payment: [118, 0.042, 31, 840], checkout: [119, 0.031, 88, 910], frontend: [402, 0.011, 64, 930], cart: [121, 0, 52, 96], auth: [403, 0.0004, 9, 17], catalog: [281, 0, 14, 38], recommend: [280, 0, 21, 61], shipping: [109, 0, 41, 72], fraud: [118, 0, 2.9, 5.2] };
    const is_before = Number(to / 1000000n) < this.now() - 43_200_000;
    let state = 1;
    const noise = () => ((state = (state * 1103515245 + 12345) % 2147483648) / 2147483648);
    const services = this.services().map((name) => {
      const [rate, share_now, p50, p95_now] = shape[name];
      const share = is_before && name === 'payment' ? 0.003 : share_now;
      const p95 = is_before && name === 'checkout' ? 410 : p95_now;
      const bump = (i) => (share > 0.005 && i > n * 0.72 ? 1 : 0);
      const rates = Array.from({ length: n }, (_, i) => rate * (0.85 + 0.15 * Math.sin(i / 7) + noise() * 0.12));
      return {
        name, operations: 3 + (name.length % 5), rate: rates, errors: rates.map((r, i) => Math.round(r * 60 * share * (bump(i) * 3 + 0.25) * noise() * 2)),
        p50_ns: rates.map((_, i) => (i === 8 ? null : Math.round(p50 * ms * (0.9 + noise() * 0.2)))), p95_ns: rates.map((_, i) => (i === 8 ? null : Math.round(p95 * ms * (0.7 + bump(i) * 0.5 + noise() * 0.3)))),
        total: { count: Math.round(rate * 3600), errors: Math.round(rate * 3600 * share), rate, p50_ns: p50 * ms, p95_ns: p95 * ms },
      };
    });
    return { from: String(from), to: String(to), step: String(step), services };
  }

  search(body, response) {
    const parsed = parse(split_hint(body.q)[0]);
    if (!parsed.ok) {
      return this.json(response, { code: 'bad_query', message: parsed.message, hint: parsed.hint, pos: parsed.pos, requestId: 'r-42' }, 400);
    }
    const from = BigInt(body.from);
    const to = BigInt(body.to);
    const [plain, hint] = split_hint(body.q);
    const hits = this.empty ? [] : this.fixtures.list.map((trace) => matching(trace, plain)).filter(Boolean)
      .filter((t) => BigInt(t.start_ns) >= from && BigInt(t.start_ns) <= to);
    if (hint) hits.sort((a, b) => (hint.order === 'asc' ? 1 : -1) * compare_by(hint.sort, a, b));
    const begin = Number(body.cursor ?? 0);
    const page = hits.slice(begin, begin + body.limit);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    this.searched = body;
    for (const trace of page) response.write(`${JSON.stringify({ trace })}\n`);
    const end = begin + body.limit < hits.length ? String(begin + body.limit) : null;
    response.end(`${JSON.stringify({ end: { cursor: end, stats: { scanned_spans: 84213, scanned_bytes: 3200000, ms: 4.2, partial: false, reason: '', weighted: false } } })}\n`);
  }
}

const ms = 1e6;

/** A query and its hint with(sort="...", order="..."). */
function split_hint(q) {
  const found = /^(.*?)\s*with\(sort="(\w+)", order="(asc|desc)"\)\s*$/s.exec(q);
  return found ? [found[1], { sort: found[2], order: found[3] }] : [q, null];
}

function compare_by(key, a, b) {
  const value = { start: (t) => BigInt(t.start_ns), duration: (t) => BigInt(t.duration_ns), spans: (t) => t.spans, rootName: (t) => t.root_name ?? '', rootServiceName: (t) => t.root_service ?? '' }[key];
  const [x, y] = [value(a), value(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** A test of one span for a query: just enough of TraceQL for the fixtures, conditions joined by &&. */
function span_of(q) {
  const conditions = [...q.replace('(kind = server || kind = consumer)', '').replace('nestedSetParent < 0', '').matchAll(/([\w.:]+)\s*(>=|<=|!=|=|>|<)\s*("(?:[^"\\]|\\.)*"|[\w.µ]+)/g)];
  const value_of = (span, name) => {
    if (name === 'status') return span.error ? 'error' : 'unset';
    if (name === 'name') return span.name;
    if (name === 'kind') return span.kind ?? 'internal';
    if (name === 'duration') return span.dur;
    if (name === 'resource.service.name') return span.service;
    if (/^(parent|event)\./.test(name)) return metric_value(span, name) === 'nil' ? undefined : metric_value(span, name);
    return span.attributes?.[name.replace(/^(span|resource)?\./, '')];
  };
  const units = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9 };
  const literal = (text) => {
    if (text.startsWith('"')) return text.slice(1, -1);
    const duration = /^([\d.]+)(ns|us|ms|s|m)$/.exec(text);
    return duration ? Number(duration[1]) * units[duration[2]] : Number.isNaN(Number(text)) ? text : Number(text);
  };
  const entries = q.includes('(kind = server || kind = consumer)');
  return (span) => (!entries || ['server', 'consumer'].includes(span.kind)) && conditions.every(([, name, op, right]) => {
    const a = value_of(span, name);
    const b = literal(right);
    if (right === 'nil') return (a === undefined) === (op === '=');
    if (a === undefined) return false;
    return op === '=' ? a === b : op === '!=' ? a !== b : op === '>' ? a > b : op === '<' ? a < b : op === '>=' ? a >= b : a <= b;
  });
}


function matching(trace, q) {
  const holds = span_of(q);
  const rows = trace.spans.map((_, row) => row).filter((row) => holds(trace.spans[row].span));
  if (rows.length === 0) return null;
  const matched_spans = rows.slice(0, 3).map((row) => {
    const { span } = trace.spans[row];
    return { id: trace.span_id(row), name: span.name, start_ns: String(trace.t0 + BigInt(Math.round(span.start))), duration_ns: String(Math.round(span.dur)) };
  });
  return { ...trace.summary(), matched: rows.length, matched_spans };
}

function parse(q) {
  const bare = /[{&|]\s*([A-Za-z_]+)\s*(?:=|>|<)/.exec(q);
  if (bare && !['name', 'duration', 'status', 'kind', 'rootName'].includes(bare[1])) {
    const pos = bare.index + bare[0].indexOf(bare[1]);
    return { ok: false, message: `'${bare[1]}' is not an attribute: it needs a scope`, pos, hint: `write .${bare[1]}, span.${bare[1]} or resource.${bare[1]}`, tokens: [] };
  }
  if (!/}\s*$/.test(q)) return { ok: false, message: "the query ends before its closing '}'", pos: q.length, hint: 'every { needs its }' };
  return { ok: true };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mock = new MockServer();
  console.log(await mock.start(Number(process.argv[2] ?? 0)), '\n100k trace:', `/trace/${named_id('100k')}`);
}
