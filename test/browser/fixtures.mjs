// Traces for the mock server, always the same ones: the generator has its own seed.

export function random_of(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const hex = (random, digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
const kinds = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
export const ms = 1e6;

/** Collects spans as a tree and lays them out as SLT1 rows. Spans: {service, name, kind, start, dur (ns), error, children, ...}. */
export class TraceFixture {
  constructor(id, start_ms, root) {
    this.id = id;
    this.t0 = BigInt(Math.round(start_ms)) * 1000000n;
    this.roots = Array.isArray(root) ? root : [root];
    this.findings = [];
    this.missing_parents = 0;
    this.lay_out();
  }

  lay_out() {
    this.services = [];
    this.names = [];
    this.resources = [];
    this.rows = [];
    this.spans = [];
    const service_index = new Map();
    const name_index = new Map();
    const index = (map, list, key, value) => {
      if (!map.has(key)) {
        map.set(key, list.length);
        list.push(value);
      }
      return map.get(key);
    };
    const stack = [...this.roots].reverse().map((span) => ({ span, parent: -1, base: 0 }));
    while (stack.length) {
      const { span, parent, base } = stack.pop();
      const row = this.rows.length;
      const service = index(service_index, this.services, span.service, span.service);
      if (this.resources.length <= service) this.resources.push({ service, label: `${span.service}-7d9f` });
      const flags =
        (span.error ? 1 : 0) | ((kinds[span.kind ?? 'internal'] ?? 0) << 1) | (span.events ? 16 : 0) | (span.links ? 32 : 0) |
        (span.orphan ? 64 : 0) | (span.unended ? 128 : 0) | (span.late ? 256 : 0) | (span.critical ? 512 : 0);
      this.rows.push({
        start: span.start - base, dur: span.dur, up: parent < 0 ? 0 : row - parent,
        name: index(name_index, this.names, span.name, span.name), res: service, flags,
      });
      this.spans.push({ span, parent });
      for (const child of [...(span.children ?? [])].reverse()) stack.push({ span: child, parent: row, base: span.start });
    }
    this.duration = this.spans.reduce((most, { span }) => Math.max(most, span.start + span.dur), 0);
  }

  span_id(row) {
    return (BigInt(`0x${this.id.slice(0, 12)}`) * 1000003n + BigInt(row) * 7919n + 1n).toString(16).padStart(16, '0').slice(-16);
  }

  row_of(span_id) {
    for (let row = 0; row < this.rows.length; row++) if (this.span_id(row) === span_id) return row;
    return -1;
  }

  header(sel) {
    return {
      traceId: this.id, t0: String(this.t0), dur: this.duration, services: this.services, names: this.names, resources: this.resources,
      sel, missingParents: this.missing_parents, findings: this.findings,
    };
  }

  summary() {
    const services = this.services.map((name, i) => {
      const of = this.spans.filter((_, row) => this.rows[row].res === i);
      return { name, spans: of.length, errors: of.filter(({ span }) => span.error).length };
    });
    const root = this.spans[0].span;
    const received = !root.orphan;
    return {
      id: this.id, root_service: received ? root.service : null, root_name: received ? root.name : null,
      start_ns: String(this.t0), duration_ns: String(Math.round(this.duration)), spans: this.rows.length,
      errors: services.reduce((sum, s) => sum + s.errors, 0), services, matched: this.rows.length, matched_spans: [], root_received: received,
    };
  }

  row_json(row) {
    const { span, parent } = this.spans[row];
    const start = this.t0 + BigInt(Math.round(span.start));
    const kv = (o = {}) => Object.entries(o).map(([key, value]) => attribute(key, value));
    return {
      row, span_id: this.span_id(row),
      parent_span_id: parent < 0 ? (span.orphan ? 'feedfacefeedface' : '') : this.span_id(parent),
      name: span.name, kind: span.kind ?? 'internal', service: span.service, start_ns: String(start),
      end_ns: String(start + BigInt(Math.round(span.dur))), ...(span.late ? { late_ns: String(span.late) } : {}),
      status: { code: span.error ? 'error' : 'unset', message: span.error ?? '' }, trace_state: '', flags: 1,
      attributes: kv(span.attributes),
      events: (span.events ?? []).map((e) => ({ name: e.name, time_ns: String(start + BigInt(Math.round(e.at ?? 0))), attributes: kv(e.attributes) })),
      links: (span.links ?? []).map((l) => ({ ...l, trace_state: '', attributes: kv(l.attributes) })),
      resource: {
        attributes: kv({
          'service.name': span.service, 'service.version': '2.14.0', 'deployment.environment.name': 'production',
          'host.name': `${span.service}-7d9f`, 'telemetry.sdk.language': 'go', 'telemetry.sdk.version': '1.38.0', 'process.pid': 4242,
        }),
        schema_url: 'https://opentelemetry.io/schemas/1.37.0',
      },
      scope: { name: span.scope ?? 'shop/handlers', version: '0.4.1', attributes: [] },
      dropped: { attributes: 0, events: 0, links: 0 },
    };
  }
}

function attribute(key, value) {
  const type = typeof value === 'string' ? 'string' : typeof value === 'boolean' ? 'bool'
    : typeof value === 'number' ? (Number.isInteger(value) ? 'int' : 'double') : Array.isArray(value) ? 'array' : 'kvlist';
  return { key, type, value: type === 'int' ? String(value) : value, cut: false };
}

const stack_trace = `java.net.SocketTimeoutException: Read timed out
	at java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:283)
	at java.base/java.net.Socket$SocketInputStream.read(Socket.java:966)
	at com.shop.payment.BankClient.authorize(BankClient.java:118)
	at com.shop.payment.ChargeHandler.charge(ChargeHandler.java:64)
	at com.shop.payment.ChargeHandler.lambda$handle$0(ChargeHandler.java:41)
	at java.base/java.lang.Thread.run(Thread.java:1583)`;

/** A checkout through seven services: an N+1 query, a retry that fails, a link, and user 4815. */
export function shop_trace(random, start_ms, { fail = false, slow = 1, user = '4815' } = {}) {
  const j = (value) => value * ms * slow * (0.85 + random() * 0.3);
  const http = (method, route, status) => ({
    'http.request.method': method, 'http.route': route, 'http.response.status_code': status, 'user.id': user,
    'url.full': `https://shop.example${route}`, 'client.address': '203.0.113.9', 'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64)',
  });
  let at = 0;
  const next = (gap, dur) => {
    at += j(gap);
    const start = at;
    at += dur;
    return start;
  };
  const sql = (start, dur, text, service) => ({
    service, name: text.split(' ').slice(0, 3).join(' '), kind: 'client', start, dur,
    attributes: { 'db.system.name': 'postgresql', 'db.query.text': text, 'db.namespace': 'shop', 'server.address': 'db-3' },
  });
  const auth_dur = j(11);
  const auth_start = next(2, auth_dur);
  const auth = {
    service: 'auth', name: 'POST /token/verify', kind: 'server', start: auth_start, dur: auth_dur, attributes: http('POST', '/token/verify', 200),
    children: [{ service: 'auth', name: 'GET session', kind: 'client', start: auth_start + j(1), dur: j(2), attributes: { 'db.system.name': 'redis', 'db.query.text': 'GET session:*' } }],
  };
  const cart_queries = [];
  const cart_start = next(3, 0);
  let t = cart_start + j(4);
  for (let i = 0; i < 14; i++) {
    const dur = j(3.2);
    cart_queries.push(sql(t, dur, 'SELECT * FROM product WHERE id = $1', 'cart'));
    t += dur + j(0.6);
  }
  at = t + j(2);
  const cart = {
    service: 'cart', name: 'GET /cart/{id}', kind: 'server', start: cart_start, dur: at - cart_start, attributes: http('GET', '/cart/{id}', 200),
    children: [sql(cart_start + j(1), j(2), 'SELECT * FROM cart WHERE user_id = $1', 'cart'), ...cart_queries].sort((a, b) => a.start - b.start),
  };
  const pay_start = next(4, 0);
  const attempts = fail ? 3 : 1;
  const calls = [];
  let p = pay_start + j(5);
  for (let i = 0; i < attempts; i++) {
    const dur = fail ? j(120) : j(58);
    calls.push({
      service: 'payment', name: 'POST bank/authorize', kind: 'client', start: p, dur, error: fail ? 'read timed out after 120 ms' : undefined,
      critical: true, attributes: { 'server.address': 'bank.example', 'http.request.method': 'POST', 'http.request.resend_count': i, 'retry.attempt': i + 1 },
      events: fail ? [{ name: 'exception', at: dur * 0.98, attributes: { 'exception.type': 'java.net.SocketTimeoutException', 'exception.message': 'Read timed out', 'exception.stacktrace': stack_trace } }] : undefined,
    });
    p += dur + j(18);
  }
  at = p;
  const payment = {
    service: 'payment', name: 'Charge', kind: 'server', start: pay_start, dur: at - pay_start, critical: true, error: fail ? 'bank did not answer: 3 of 3 attempts timed out' : undefined,
    attributes: { 'rpc.system': 'grpc', 'rpc.service': 'shop.Payment', 'rpc.method': 'Charge', 'payment.amount': 129.9, 'payment.currency': 'EUR', 'user.id': user, 'card.present': false },
    events: [{ name: 'fraud check passed', at: j(3), attributes: { score: 0.07 } }],
    children: [{ service: 'fraud', name: 'Score', kind: 'server', start: pay_start + j(1), dur: j(3), attributes: { 'model.version': 'v12', 'features': ['amount', 'country', 'velocity'] } }, ...calls],
  };
  const tail = [];
  if (!fail) {
    const ship_start = next(3, 0);
    const quote_dur = j(36);
    tail.push({
      service: 'shipping', name: 'GetQuote', kind: 'server', start: ship_start, dur: quote_dur + j(6), attributes: { 'rpc.system': 'grpc', 'parcel.count': 2 },
      children: [{ service: 'shipping', name: 'GET carriers', kind: 'client', start: ship_start + j(2), dur: quote_dur, attributes: http('GET', '/carriers', 200) }],
    });
    at += quote_dur + j(8);
    tail.push({
      service: 'checkout', name: 'orders publish', kind: 'producer', start: next(1, j(4)), dur: j(3), attributes: { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders' },
      links: [{ trace_id: hex(random, 32), span_id: hex(random, 16), attributes: { reason: 'continues the browser session' } }],
    });
  }
  const checkout_start = j(3);
  const checkout_dur = at + j(6);
  const shift = (span, by) => {
    span.start += by;
    for (const child of span.children ?? []) shift(child, by);
    return span;
  };
  const checkout = {
    service: 'checkout', name: 'POST /checkout', kind: 'server', start: checkout_start, dur: checkout_dur, critical: true,
    error: fail ? 'payment failed' : undefined, attributes: http('POST', '/checkout', fail ? 502 : 200),
    children: [auth, cart, payment, ...tail].map((span) => shift(span, checkout_start + ms)),
  };
  return {
    service: 'frontend', name: 'POST /checkout', kind: 'server', start: 0, dur: checkout_dur + j(8), critical: true,
    error: fail ? 'upstream answered 502' : undefined, attributes: http('POST', '/checkout', fail ? 502 : 200), children: [checkout],
  };
}

export function browse_trace(random) {
  const dur = (18 + random() * 60) * ms;
  return {
    service: 'frontend', name: random() < 0.5 ? 'GET /product/{id}' : 'GET /', kind: 'server', start: 0, dur, attributes: { 'http.request.method': 'GET', 'http.response.status_code': 200 },
    children: [
      {
        service: 'catalog', name: 'GetProduct', kind: 'server', start: 2 * ms, dur: dur * 0.5,
        children: [{ service: 'catalog', name: 'SELECT product', kind: 'client', start: 4 * ms, dur: dur * 0.3, attributes: { 'db.system.name': 'postgresql' } }],
      },
      { service: 'recommend', name: 'List', kind: 'server', start: dur * 0.55, dur: dur * 0.35 },
    ],
  };
}

function broken_roots() {
  return [
    {
      service: 'gateway', name: 'GET /report', kind: 'server', start: 0, dur: 420 * ms,
      children: [
        { service: 'report', name: 'render', kind: 'server', start: 20 * ms, dur: 380 * ms, children: [{ service: 'report', name: 'never ended', start: 50 * ms, dur: 0, unended: true }] },
        { service: 'clock', name: 'ahead of its parent', kind: 'client', start: -35 * ms, dur: 60 * ms },
      ],
    },
    { service: 'ledger', name: 'write entry', kind: 'server', start: 120 * ms, dur: 40 * ms, orphan: true, children: [{ service: 'ledger', name: 'INSERT entry', kind: 'client', start: 130 * ms, dur: 20 * ms }] },
    { service: 'ledger', name: 'write entry', kind: 'server', start: 200 * ms, dur: 35 * ms, orphan: true, late: 754_300 * ms },
  ];
}

function deep_root(levels) {
  const root = { service: 'recursive', name: 'level 0', start: 0, dur: levels * ms };
  let at = root;
  for (let i = 1; i < levels; i++) {
    const child = { service: i % 7 ? 'recursive' : 'worker', name: `level ${i}`, start: i * 0.4 * ms, dur: (levels - i) * ms };
    at.children = [child];
    at = child;
  }
  return root;
}

function wide_root(count) {
  return {
    service: 'batch', name: 'import', start: 0, dur: count * 0.1 * ms,
    children: Array.from({ length: count }, (_, i) => ({ service: 'store', name: 'INSERT row', kind: 'client', start: i * 0.1 * ms, dur: 0.09 * ms, error: i % 9973 === 17 ? 'duplicate key' : undefined })),
  };
}

/** A trace of `total` spans over 24 services, 220 names and depth 20: 60 jobs after one another, some overlapping. */
export function large_root(total, random) {
  const services = Array.from({ length: 24 }, (_, i) => `service-${String(i + 1).padStart(2, '0')}`);
  const names = Array.from({ length: 220 }, (_, i) => `${['GET', 'POST', 'SELECT', 'call', 'publish'][i % 5]} /resource/${i}`);
  const length = 90e9;
  const root = { service: services[0], name: 'POST /nightly', kind: 'server', start: 0, dur: length, children: [] };
  const jobs = Math.min(60, total - 1);
  let made = 1;
  for (let job = 0; job < jobs; job++) {
    const span = {
      service: services[job % 24], name: names[job], kind: 'server', start: Math.floor((job / jobs) * length * 0.97),
      dur: Math.floor((length / jobs) * (0.5 + random() * 0.9)),
    };
    root.children.push(span);
    made++;
    made += grow(span, Math.floor(((total - 1) * (job + 1)) / jobs) + 1 - made, random, services, names);
  }
  return root;
}

/** Adds `count` descendants to a span; a child lies within its parent and begins after the child before it has. */
function grow(top, count, random, services, names) {
  const open = [{ span: top, depth: 1, cursor: 1000 }];
  let made = 0;
  while (made < count) {
    const at = open[Math.floor(random() ** 0.8 * open.length)];
    const { span, depth } = at;
    const room = span.dur - at.cursor;
    if ((room < 20_000 || depth >= 20) && open.length > 1) {
      open.splice(open.indexOf(at), 1);
      continue;
    }
    const dur = Math.max(1000, Math.floor(room * (depth < 4 ? 0.06 : 0.35) * random()));
    const child = {
      service: random() < 0.6 ? span.service : services[Math.floor(random() * 24)], name: names[Math.floor(random() * 220)],
      kind: random() < 0.4 ? 'client' : 'internal', start: span.start + at.cursor, dur, error: random() < 0.0006 ? 'failed' : undefined,
    };
    at.cursor += Math.max(1, Math.floor(dur * (random() < 0.3 ? 0.2 : 1)));
    (span.children ??= []).push(child);
    made++;
    if (dur > 40_000 && open.length < 2000) open.push({ span: child, depth: depth + 1, cursor: 1000 });
  }
  return made;
}

export const hostile_text = [
  '<img src=x onerror="window.hacked=1">', '<svg/onload=window.hacked=1>', 'javascript:window.hacked=1', '${window.hacked=1}{{constructor.constructor("window.hacked=1")()}}',
  '\u001b[31mred\u001b[0m', '\u202eright to left\u202c', '"><script>window.hacked=1</script>', 'a'.repeat(3000), '名前 ünïcödé 🧵',
];

function hostile_root() {
  return {
    service: hostile_text[0], name: hostile_text[6], kind: 'server', start: 0, dur: 80 * ms, error: hostile_text[1],
    attributes: Object.fromEntries(hostile_text.map((text, i) => [i % 2 ? text.slice(0, 60) : `key.${i}`, text])),
    events: [{ name: 'exception', at: ms, attributes: { 'exception.type': hostile_text[1], 'exception.message': hostile_text[0], 'exception.stacktrace': hostile_text[6] } }, { name: hostile_text[2], at: 2 * ms, attributes: {} }],
    links: [{ trace_id: 'ab'.repeat(16), span_id: 'cd'.repeat(8), attributes: { x: hostile_text[2] } }],
    children: hostile_text.map((text, i) => ({ service: i % 2 ? text.slice(0, 80) : 'plain', name: text, start: i * 8 * ms, dur: 7 * ms, attributes: { huge: i === 3 ? 'x'.repeat(1 << 20) : text } })),
  };
}

const named_id = (text) => Buffer.from(text.padEnd(16, '.')).toString('hex');

/** All fixtures by name and a list of ordinary traces, newest first. */
export function make_fixtures(now_ms) {
  const random = random_of(4815);
  const special = new Map();
  const add = (name, start, roots) => {
    const trace = new TraceFixture(named_id(name), start, roots);
    special.set(name, trace);
    return trace;
  };
  add('tiny', now_ms - 60_000, {
    service: 'hello', name: 'GET /hello', kind: 'server', start: 0, dur: 12 * ms,
    children: [0, 1, 2, 3, 4, 5].map((i) => ({ service: 'hello', name: `step ${i}`, start: i * 2 * ms, dur: 1.6 * ms })),
  });
  add('shop', now_ms - 95_000, shop_trace(random, 0, { fail: true, user: '4815' }));
  const broken = add('broken', now_ms - 130_000, broken_roots());
  broken.missing_parents = 2;
  broken.findings = [{ rule: 'missing-parent', message: '2 spans name a parent that was not received: report → ledger loses context.', rows: [4, 6] }, { rule: 'late', message: '1 span(s) came late, up to 12m34s after the rest of the trace was over: a sender was slow, or tried again', rows: [6], ns: String(754_300 * ms) }];
  add('deep', now_ms - 140_000, deep_root(2000));
  add('wide', now_ms - 150_000, wide_root(50_000));
  add('hostile', now_ms - 160_000, hostile_root());
  const list = ['shop', 'broken', 'tiny', 'hostile'].map((name) => special.get(name));
  for (let i = 0; i < 220; i++) {
    const start = now_ms - 20_000 - i * 15_000 - random() * 9000;
    const checkout = random() < 0.45;
    const root = checkout ? shop_trace(random, 0, { fail: random() < 0.11, slow: random() < 0.12 ? 2 + random() * 5 : 0.7 + random() * 0.7, user: String(4000 + Math.floor(random() * 900)) }) : browse_trace(random);
    list.push(new TraceFixture(hex(random, 32), start, root));
  }
  list.sort((a, b) => (a.t0 < b.t0 ? 1 : -1));
  return { special, list, large: () => large_trace(now_ms) };
}

let large = null;
function large_trace(now_ms) {
  large ??= new TraceFixture(named_id('100k'), now_ms - 300_000, large_root(100_000, random_of(7)));
  return large;
}

export { named_id };
