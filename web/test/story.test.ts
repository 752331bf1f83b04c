import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys_of, read_series } from '../src/api/metrics.ts';
import { change_of, type Totals } from '../src/model/change.ts';
import { explain, swapped } from '../src/model/explain.ts';
import { day_and_clock, write_times_in_utc } from '../src/model/format.ts';
import { top_frames } from '../src/model/frames.ts';
import { compare_query, read_side } from '../src/model/groups.ts';
import { heat_of } from '../src/model/heat.ts';
import { fill, links_of, problem_of } from '../src/model/links_out.ts';
import { beside_population } from '../src/model/population.ts';
import { columns_of, columns_text, is_sorted_by_server, next_sort, read_sort, sort_results, sorted_query } from '../src/model/result_table.ts';
import { correct_clocks } from '../src/model/skew.ts';
import { decode_skeleton } from '../src/model/slt1.ts';
import { statement_shape } from '../src/model/totals.ts';
import { kFlagSkewMoved, Trace } from '../src/model/trace.ts';
import { beside_usual, Usual } from '../src/model/usual.ts';
import { large_root, random_of, TraceFixture } from '../../test/browser/fixtures.mjs';
import { encode_slt1 } from '../../test/browser/slt1_encode.mjs';

interface Span {
  service: string;
  name: string;
  start: number;
  dur: number;
  error?: string;
  children?: Span[];
}

const span = (service: string, name: string, start: number, dur: number, children: Span[] = []): Span => ({ service, name, start, dur, children });
const skeleton_of = (root: Span) => {
  const fixture = new TraceFixture('00'.repeat(16), 0, root);
  return decode_skeleton(encode_slt1(fixture.header(-1), fixture.rows).buffer as ArrayBuffer);
};
const starts = (trace: Trace): number[] => Array.from(trace.start);

test('a clock that is behind is moved with everything of its process, others stay', () => {
  const skeleton = skeleton_of(span('a', 'root', 1000, 1000, [span('b', 'call', 500, 600, [span('b', 'inner', 600, 100), span('a', 'back', 1400, 50)]), span('a', 'own', 1500, 10)]));
  const raw = new Trace(skeleton);
  const corrected = correct_clocks(skeleton, raw);
  assert.ok(corrected);
  const trace = new Trace(corrected.skeleton);
  // The call is put into the middle of its caller: 1000 + (1000 - 600) / 2.
  assert.deepEqual(starts(trace).map((at) => at - trace.start[0]), [0, 200, 300, 400, 500]);
  assert.deepEqual(corrected.shifts, [{ service: 'b', place: raw.resource_label(1), ns: 700, spans: 2 }]);
  assert.deepEqual(Array.from(trace.flags, (flags) => (flags & kFlagSkewMoved) !== 0), [false, true, true, false, false]);
  assert.deepEqual(starts(raw).map((at) => at - raw.start[0]), [0, -500, -400, 400, 500], 'what was sent is untouched');
});

test('nothing is moved where no span starts before its caller, and none does after a correction', () => {
  const fine = skeleton_of(span('a', 'root', 0, 100, [span('b', 'call', 10, 200)]));
  assert.equal(correct_clocks(fine, new Trace(fine)), null);
  for (let seed = 1; seed < 30; seed++) {
    const random = random_of(seed);
    const root = large_root(300, random) as Span;
    const skew = (one: Span): void => {
      if (random() < 0.2) one.start -= random() * 1e7;
      one.children?.forEach(skew);
    };
    root.children?.forEach(skew);
    const skeleton = skeleton_of(root);
    const raw = new Trace(skeleton);
    const trace = new Trace(correct_clocks(skeleton, raw)?.skeleton ?? skeleton);
    for (let row = 1; row < trace.n; row++) {
      const parent = trace.parent[row];
      if (parent < 0 || trace.res[row] === trace.res[parent]) continue;
      assert.ok(trace.start[row] >= trace.start[parent] - 1, `seed ${seed} row ${row}`);
    }
  }
});

const totals = (count: number, errors: number, p95_ms: number): Totals => ({ count, errors, rate: count / 3600, p95_ns: p95_ms * 1e6 });

test('a service that got worse is said to be, the worst first', () => {
  const usual = totals(1000, 1, 100);
  assert.equal(change_of(usual, usual).tone, 'same');
  const failing = change_of(totals(1000, 60, 100), usual);
  assert.match(failing.text, /^errors × 60$/);
  const slow = change_of(totals(1000, 1, 210), usual);
  assert.equal(slow.text, 'p95 × 2.1');
  assert.ok(failing.score > slow.score && slow.score > 0);
  assert.equal(change_of(totals(100, 0, 100), usual).text, 'requests −90 %');
  assert.equal(change_of(totals(1000, 0, 40), usual).tone, 'better');
  assert.equal(change_of(totals(1000, 5, 100), totals(1000, 0, 100)).text, 'errors, none before');
  // A single error among few requests, or a few slow ones, is noise.
  assert.equal(change_of(totals(10, 1, 900), totals(10, 0, 100)).tone, 'same');
  assert.equal(change_of(usual, undefined).tone, 'new');
  assert.equal(change_of(usual, null).tone, 'unknown');
});

test('links out go to written hosts by http alone, whatever the data', () => {
  for (const url of ['javascript:alert(1)', 'data:text/html,x', 'https://{a}/', 'https://{a}.example/', 'https://u:p@h/', '//h/', 'h', '', '{a}', 'https://h:{a}/', `https://h/${'x'.repeat(3000)}`]) {
    assert.notEqual(problem_of(url), '', url);
    assert.equal(fill(url, () => 'v'), null, url);
  }
  const url = 'https://logs.example/{service}/find?q={trace}&at={k.v}#{x}';
  assert.equal(problem_of(url), '');
  for (const value of ['a b', '../..', 'x@evil.example', '#?&=/', '"><script>', '\ud800', '名']) {
    const filled = fill(url, () => value);
    assert.ok(filled);
    const made = new URL(filled);
    assert.equal(made.origin, 'https://logs.example');
    assert.equal(made.pathname.split('/').length, 3);
  }
  assert.equal(fill(url, (name) => (name === 'k.v' ? null : 'x')), null);
  assert.deepEqual(links_of([{ name: 'ok', url: 'https://h/' }, { name: 'bad', url: 'javascript:x' }, null, { name: 1 }]), [{ name: 'ok', url: 'https://h/' }]);
  assert.deepEqual(links_of('x'), []);
});

test('what is usual is said of operations that were seen often enough', () => {
  const usual = new Usual([{ service: 'a', name: 'x', kind: 'server', count: 100, errors: 1, p50_ns: 10, p95_ns: 20 }, { service: 'a', name: 'y', kind: 'server', count: 2, errors: 0, p50_ns: 1, p95_ns: 2 }]);
  const known = usual.of('a', 'x', 'server');
  assert.ok(known);
  assert.equal(usual.of('a', 'x', 'client'), null);
  assert.equal(usual.of('a', 'y', 'server'), null);
  assert.deepEqual([60, 21, 15, 3].map((ns) => beside_usual(ns, known)), ['3.0 × the usual p95', 'a little above the usual p95', '', 'faster than usual']);
});

test('sides of a comparison are traces, groups, or said to be neither', () => {
  assert.equal(read_side('0af7651916cd43dd8448eb211c80319c').kind, 'trace');
  assert.deepEqual(read_side(' { status = error } '), { kind: 'query', q: '{ status = error }', condition: 'status = error' });
  assert.equal(read_side('{ a } | count() > 1').kind, 'wrong');
  assert.equal(read_side('{ .a = 1 } >> { .b = 1 }').kind, 'wrong');
  assert.equal(read_side('abc').kind, 'wrong');
  assert.equal(read_side(null).kind, 'none');
  assert.equal(compare_query('a', 'b || c', 5), '{ (a) || (b || c) } | compare({ b || c }, 5)');
});

test('a comparison swapped tells what is more frequent on the other side', () => {
  const line = (type: string, value: string, count: number) => ({ labels: { __meta_type: type, name: value }, times: [0], values: [count], exemplars: [] });
  const series = [line('selection', 'x', 8), line('selection', 'y', 2), line('baseline', 'x', 1), line('baseline', 'y', 9), line('selection_total', 'nil', 10), line('baseline_total', 'nil', 10)];
  assert.equal(explain(series).differences[0].value, 'x');
  const other = explain(swapped(series)).differences[0];
  assert.deepEqual([other.value, other.inside, other.outside], ['y', 0.9, 0.2]);
});

test('a trace beside the others: slower, more often, missing, only here', () => {
  const trace = new Trace(skeleton_of(span('a', 'root', 0, 1000, [span('b', 'slow', 0, 900), span('b', 'often', 0, 1), span('b', 'often', 2, 1), span('b', 'often', 4, 1), span('b', 'often', 6, 1), span('b', 'new', 10, 1)])));
  const other = (service: string, name: string, count: number, p95: number) => ({ service, name, count, p50: p95 / 2, p95 });
  const rows = beside_population(trace, [other('a', 'root', 10, 1100), other('b', 'slow', 10, 300), other('b', 'often', 10, 2), other('b', 'gone', 10, 5), other('b', 'rare', 1, 5)], 10);
  const words = Object.fromEntries(rows.map((row) => [row.name, row.words]));
  assert.equal(words.slow, '3.0 × the usual p95');
  assert.equal(words.often, '4.0 × as many');
  assert.equal(words.gone, 'missing here');
  assert.equal(words.new, 'only here');
  assert.equal(words.rare, undefined);
  assert.match(words.root, /^as usual/);
  assert.equal(rows[0].name, 'gone');
});

test('a few odd spans do not make the heatmap small, and none is lost', () => {
  const line = (power: number, count: number) => ({ labels: { __bucket: String(2 ** power / 1e9) }, times: [0], values: [count], exemplars: [] });
  const heat = heat_of([line(0, 1), line(20, 500), line(21, 500)], 0, 1000, 1000);
  assert.equal(heat?.rows, 2);
  assert.equal(heat?.total, 1001);
  assert.equal(heat?.counts[0], 501);
});

test('times are written in UTC where that is chosen', () => {
  write_times_in_utc(true);
  assert.equal(day_and_clock(1763830000000), '2025-11-22 16:46:40');
  write_times_in_utc(false);
  assert.equal(day_and_clock(NaN), 'NaN-NaN-NaN NaN:NaN:NaN');
});

test('results are sorted by any column and back, columns come from the URL', () => {
  const trace = (id: string, duration_ns: string, errors: number) => ({ id, duration_ns, errors, start_ns: '1', root_service: 'a', root_name: id, spans: 1, services: [], matched: 0, matched_spans: [], root_received: true });
  const list = [trace('b', '9007199254740993', 0), trace('a', '9007199254740992', 2), trace('c', '1', 1)];
  const order = (sort: string): string => sort_results(list, read_sort(sort)).map((one) => one.id).join('');
  assert.deepEqual([order(''), order('-duration'), order('duration'), order('name'), order('-errors'), order('nonsense')], ['bac', 'bac', 'cab', 'abc', 'acb', 'bac']);
  assert.deepEqual([next_sort('duration', null), next_sort('duration', ['duration', -1]), next_sort('duration', ['duration', 1])], ['-duration', 'duration', '']);
  assert.deepEqual([next_sort('name', null), next_sort('name', ['name', 1]), next_sort('name', ['name', -1])], ['name', '-name', '']);
  assert.deepEqual(columns_of('id,nonsense,start'), ['start', 'id']);
  assert.equal(columns_text(columns_of('')), '');
  assert.equal(columns_text(columns_of('id,start')), 'start,id');
});

test('the server sorts by what it can, all that it finds', () => {
  assert.deepEqual(['', '-start', 'errors', 'nonsense'].map((sort) => sorted_query('{ .a = 1 }', sort)), Array.from({ length: 4 }, () => '{ .a = 1 }'));
  assert.equal(sorted_query('', '-duration'), '{ } with(sort="duration", order="desc")');
  assert.equal(sorted_query(' { .a = 1 } ', 'start'), '{ .a = 1 } with(sort="start", order="asc")');
  assert.equal(sorted_query('{ }', 'name'), '{ } with(sort="rootName", order="asc")');
  assert.equal(sorted_query('{ } with(most_recent=true)', '-spans'), '{ } with(most_recent=true)');
  assert.deepEqual(['', '-start', 'start', '-duration', '-errors'].map((sort) => is_sorted_by_server('{ }', sort)), [true, true, true, true, false]);
  assert.equal(is_sorted_by_server('{ } with(sort="duration")', '-spans'), false);
});

test('stack traces are one where their innermost frames are, whatever the lines', () => {
  const java = (line: number): string => `java.net.SocketTimeoutException: Read timed out\n\tat shop.BankClient.authorize(BankClient.java:${line})\n\tat shop.Charge.run(Charge.java:9)\n\tat x.y(Z.java:1)\n\tat deeper.er(E.java:1)`;
  assert.deepEqual(top_frames(java(1)), ['shop.BankClient.authorize(BankClient.java)', 'shop.Charge.run(Charge.java)', 'x.y(Z.java)']);
  assert.deepEqual(top_frames('Traceback (most recent call last):\n  File "/app/main.py", line 3, in <module>\n    run()\n  File "/app/bank.py", line 7, in authorize\nTimeoutError: x', 2), ['bank.py authorize', 'main.py <module>']);
  assert.deepEqual(top_frames('Error: x\n    at authorize (/srv/bank.js:10:5)\n    at /srv/main.js:1:1'), ['authorize (/srv/bank.js)', '/srv/main.js']);
  assert.deepEqual(top_frames(''), []);
});

test('labels go by what the query groups by, in its order', () => {
  const wire = { labels: [{ key: 'resource.service.name', value: { stringValue: 'a' } }, { key: 'resource.service.name', value: { stringValue: 'b' } }, { key: 'p', value: { doubleValue: 0.5 } }], samples: [] };
  const keys = keys_of('{ } | quantile_over_time(duration, .5) by(parent.resource.service.name, resource.service.name)');
  assert.deepEqual(read_series(wire, keys).labels, { 'parent.resource.service.name': 'a', 'resource.service.name': 'b', p: '0.5' });
  assert.deepEqual(keys_of('{ name = "by(x)" } | rate()'), []);
});

test('placeholders of any kind are one in the shape of a statement', () => {
  for (const text of ['SELECT * FROM t WHERE id = $1', 'SELECT * FROM t WHERE id = 17', "SELECT * FROM t  WHERE id = 'x'", 'SELECT * FROM t WHERE id = :id', 'SELECT * FROM t WHERE id = @p1', 'SELECT * FROM t WHERE id = ?']) {
    assert.equal(statement_shape(text), 'SELECT * FROM t WHERE id = ?', text);
  }
  assert.equal(statement_shape('SELECT a::text FROM t WHERE x IN (1, 2, 3)'), 'SELECT a::text FROM t WHERE x IN (?)');
});
