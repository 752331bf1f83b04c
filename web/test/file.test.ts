import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FileError, spans_of_file } from '../src/model/file_spans.ts';
import { find_in_rows } from '../src/model/find_in_rows.ts';
import { traces_of } from '../src/model/file_trace.ts';
import { kFlagCritical, kFlagOrphan, Trace } from '../src/model/trace.ts';
import { random_of } from '../../test/browser/fixtures.mjs';

const span = (id: number, parent: number, start: number, end: number, more: object = {}): object => ({
  traceId: '0af7651916cd43dd8448eb211c80319c', spanId: id.toString(16).padStart(16, '0'), parentSpanId: parent ? parent.toString(16).padStart(16, '0') : '',
  name: `op ${id}`, kind: 2, startTimeUnixNano: String(1763830000000000000n + BigInt(start)), endTimeUnixNano: String(1763830000000000000n + BigInt(end)), ...more,
});
const otlp = (spans: object[]): string =>
  JSON.stringify({ resourceSpans: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }, scopeSpans: [{ scope: { name: 's' }, spans }] }] });

test('an OTLP file becomes rows in order, with the critical path and what is missing', () => {
  const found = traces_of(spans_of_file(otlp([
    span(3, 1, 50, 90, { status: { code: 2, message: 'no' } }), span(1, 0, 0, 100), span(2, 1, 10, 40, { attributes: [{ key: 'n', value: { intValue: '7' } }] }), span(9, 8, 5, 20),
  ])));
  assert.equal(found.length, 1);
  const trace = new Trace(found[0].skeleton);
  assert.deepEqual(found[0].rows.map((row) => row.name), ['op 1', 'op 2', 'op 3', 'op 9']);
  assert.deepEqual([...trace.parent], [-1, 0, 0, -1]);
  assert.deepEqual([...trace.start], [0, 10, 50, 5]);
  assert.deepEqual([...trace.error_rows], [2]);
  assert.deepEqual([0, 1, 2, 3].map((row) => trace.has(row, kFlagCritical)), [true, true, true, false]);
  assert.ok(trace.has(3, kFlagOrphan));
  assert.equal(trace.header.missingParents, 1);
  assert.deepEqual(found[0].rows[1].attributes, [{ key: 'n', type: 'int', value: '7', cut: false }]);
});

test('a text is found anywhere in the spans of a file, whatever its case', () => {
  const [trace] = traces_of(spans_of_file(otlp([
    span(1, 0, 0, 100), span(2, 1, 10, 40, { attributes: [{ key: 'user.id', value: { intValue: '4815' } }] }), span(3, 1, 50, 90, { status: { code: 2, message: 'Read timed out' } }),
    span(4, 1, 91, 95, { events: [{ name: 'exception', timeUnixNano: '0', attributes: [{ key: 'exception.type', value: { stringValue: 'SocketTimeout' } }] }] }),
    span(5, 1, 96, 97, { attributes: [{ key: 'list', value: { arrayValue: { values: [{ stringValue: 'Blue' }] } } }] }),
  ])));
  const cases: [string, number[]][] = [['4815', [1, 2]], ['USER.ID', [1, 2]], ['time', [2, 4]], ['blue', [4, 5]], ['shop', [0, 5]], ['0005', [4, 5]], ['op 1', [0, 1]], ['no such', []]];
  for (const [text, rows] of cases) assert.deepEqual(find_in_rows(trace.rows, text), rows, text);
});

test('the recorded request of the official definitions opens', () => {
  const found = traces_of(spans_of_file(readFileSync(new URL('../../../../test/golden/otlp_request.json', import.meta.url), 'utf8')));
  assert.ok(found.length > 0);
  for (const trace of found) assert.equal(new Trace(trace.skeleton).n, trace.rows.length);
});

test('Jaeger, Zipkin, Tempo and one request per line open too', () => {
  const jaeger = JSON.stringify({ data: [{ traceID: 'ab', processes: { p1: { serviceName: 'pay', tags: [] } }, spans: [
    { traceID: 'ab', spanID: '1', operationName: 'root', references: [], startTime: 1000, duration: 50, tags: [{ key: 'error', type: 'bool', value: true }], logs: [{ timestamp: 1010, fields: [{ key: 'event', value: 'boom' }] }], processID: 'p1' },
    { traceID: 'ab', spanID: '2', operationName: 'child', references: [{ refType: 'CHILD_OF', traceID: 'ab', spanID: '1' }], startTime: 1010, duration: 5, tags: [], logs: [], processID: 'p1' },
  ] }] });
  const [one] = traces_of(spans_of_file(jaeger));
  assert.deepEqual([one.id, one.rows[0].service, one.rows[0].status.code, one.rows[0].events[0].name, one.skeleton.dur[0]], ['ab'.padStart(32, '0'), 'pay', 'error', 'boom', 50_000]);
  assert.deepEqual([...one.skeleton.up], [0, 1]);
  const zipkin = JSON.stringify([{ traceId: 'cd', id: '1', name: 'get', kind: 'SERVER', timestamp: 5, duration: 7, localEndpoint: { serviceName: 'web' }, tags: { 'http.path': '/' } }]);
  assert.equal(spans_of_file(zipkin)[0].service, 'web');
  assert.equal(spans_of_file(JSON.stringify({ trace: JSON.parse(otlp([span(1, 0, 0, 1)])) })).length, 1);
  assert.equal(spans_of_file(`${otlp([span(1, 0, 0, 1)])}\n${otlp([span(2, 1, 0, 1)])}\n`).length, 2);
});

test('what is not a trace is refused with the reason', () => {
  for (const [content, reason] of [['', /no span/], ['{"a":1}', /no span/], ['hello', /not JSON/], ['[]', /no span/], [otlp([{ name: 'x' }]), /trace id/]] as const) {
    assert.throws(() => spans_of_file(content), (error) => error instanceof FileError && reason.test(error.message), content);
  }
});

test('cycles, selves and equal ids of any shape end in a tree that holds every span once', () => {
  const random = random_of(6);
  for (let round = 0; round < 200; round++) {
    const n = 1 + Math.floor(random() * 12);
    const spans = Array.from({ length: n }, () => span(1 + Math.floor(random() * 8), Math.floor(random() * 9), Math.floor(random() * 100), Math.floor(random() * 200)));
    const [found] = traces_of(spans_of_file(otlp(spans)));
    assert.equal(found.rows.length, n);
    const trace = new Trace(found.skeleton);
    for (let row = 0; row < n; row++) {
      assert.equal(found.rows[row].row, row);
      assert.ok(trace.parent[row] < row);
      if (trace.parent[row] >= 0) assert.equal(found.rows[row].parent_span_id, found.rows[trace.parent[row]].span_id);
    }
  }
});
