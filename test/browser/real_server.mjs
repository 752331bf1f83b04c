// Starts a spanloom binary on free ports with a temporary data directory, and sends it OTLP.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const kReadyMs = 20_000;
const kStopMs = 10_000;

function free_port() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class RealServer {
  /** `more`: further arguments of a binary that is to be started. */
  constructor(where, more = []) {
    this.where = where;
    this.more = more;
    this.output = '';
  }

  async start() {
    if (/^https?:/.test(this.where)) {
      this.url = this.where.replace(/\/$/, '');
      const boot = await (await fetch(`${this.url}/api/ui/v1/boot`)).json();
      this.otlp = `http://${boot.endpoints.otlp_http}`;
      return;
    }
    const [http, otlp_http, otlp_grpc, zipkin, sampling] = await Promise.all([...Array(5)].map(free_port));
    this.data = mkdtempSync(join(tmpdir(), 'spanloom-data-'));
    this.url = `http://127.0.0.1:${http}`;
    this.otlp = `http://127.0.0.1:${otlp_http}`;
    const at = (port) => `127.0.0.1:${port}`;
    this.arguments = ['serve', '--data', this.data, '--http', at(http), '--otlp-http', at(otlp_http), '--otlp-grpc', at(otlp_grpc), '--zipkin', at(zipkin), '--sampling', at(sampling), ...this.more];
    await this.spawn();
  }

  async spawn() {
    this.process = spawn(this.where, this.arguments, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (text) => (this.output = (this.output + text).slice(-20_000)));
    this.ended = new Promise((resolve) => {
      this.process.on('exit', (code, signal) => resolve(`${code ?? signal}`));
      this.process.on('error', (error) => resolve(error.message));
    });
    await this.ready();
  }

  async ready() {
    let ended = null;
    void this.ended.then((how) => (ended = how));
    const until = Date.now() + kReadyMs;
    while (Date.now() < until) {
      if (ended !== null) throw new Error(`${this.where} ended (${ended}):\n${this.output}`);
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      if (answer?.status === 200) return;
      await pause(50);
    }
    throw new Error(`${this.where} was not ready in ${kReadyMs / 1000} s:\n${this.output}`);
  }

  async send(traces) {
    const answer = await fetch(`${this.otlp}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(traces) });
    if (answer.status !== 200) throw new Error(`OTLP was answered ${answer.status}: ${await answer.text()}`);
  }

  /** Waits until each trace can be read: what was acknowledged is seen within a second, but not all of it at once. */
  async seen(...ids) {
    for (const id of ids) await this.one_seen(id);
  }

  async one_seen(id) {
    const until = Date.now() + kReadyMs;
    for (;;) {
      const answer = await fetch(`${this.url}/api/ui/v1/trace/${id}/skeleton`);
      if (answer.status === 200) return;
      if (Date.now() > until) throw new Error(`trace ${id} was sent and is not to be seen: ${await answer.text()}`);
      await pause(50);
    }
  }

  async end() {
    this.process.kill('SIGTERM');
    const late = setTimeout(() => this.process.kill('SIGKILL'), kStopMs);
    await this.ended;
    clearTimeout(late);
  }

  /** The same data and addresses; nothing in memory. */
  async restart() {
    await this.end();
    await this.spawn();
  }

  /** Milliseconds of processor time so far. */
  cpu_ms() {
    const [user, system] = readFileSync(`/proc/${this.process.pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13).map(Number);
    return (user + system) * 10;
  }

  async stop() {
    if (!this.process) return;
    await this.end();
    rmSync(this.data, { recursive: true, force: true });
  }
}

function value_of(value) {
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(value_of) } };
  if (typeof value === 'object') return { kvlistValue: { values: attributes_of(value) } };
  return { stringValue: value };
}

const attributes_of = (object = {}) => Object.entries(object).map(([key, value]) => ({ key, value: value_of(value) }));
const kinds = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };

/** A TraceFixture as OTLP JSON, one resource per service. `more`: further attributes of a service's resource. */
export function otlp_of(fixture, more = () => ({})) {
  const by_service = new Map();
  fixture.spans.forEach(({ span, parent }, row) => {
    const start = fixture.t0 + BigInt(Math.round(span.start));
    const json = fixture.row_json(row);
    if (!by_service.has(span.service)) by_service.set(span.service, { json, spans: [] });
    by_service.get(span.service).spans.push({
      traceId: fixture.id, spanId: fixture.span_id(row), parentSpanId: parent >= 0 ? fixture.span_id(parent) : span.orphan ? 'feedfacefeedface' : '',
      name: span.name, kind: kinds[span.kind ?? 'internal'], startTimeUnixNano: String(start), endTimeUnixNano: String(start + BigInt(Math.round(span.dur))),
      attributes: attributes_of(span.attributes), status: span.error ? { code: 2, message: span.error } : {},
      events: (span.events ?? []).map((e) => ({ name: e.name, timeUnixNano: String(start + BigInt(Math.round(e.at ?? 0))), attributes: attributes_of(e.attributes) })),
      links: (span.links ?? []).map((l) => ({ traceId: l.trace_id, spanId: l.span_id, attributes: attributes_of(l.attributes) })),
    });
  });
  return {
    resourceSpans: [...by_service].map(([service, { spans }]) => ({
      resource: { attributes: attributes_of({ 'service.name': service, 'service.version': '2.14.0', 'host.name': `${service}-7d9f`, ...more(service) }) },
      scopeSpans: [{ scope: { name: 'shop/handlers', version: '0.4.1' }, spans }],
    })),
  };
}
