import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign_slots, contrast, kDarkPalette, kLightPalette } from '../src/model/colors.ts';
import { bytes, count_short, duration, exact_time, percent, rate } from '../src/model/format.ts';
import { lex } from '../src/model/lexer.ts';
import { condition, kEmptyForm, parse_duration, type QueryForm, read_form, shown_condition, write_form } from '../src/model/query_form.ts';
import { all_of, conditions_of } from '../src/model/narrow_query.ts';
import { ticks } from '../src/model/ticks.ts';
import { kDefaultRange, resolve_range, resolve_time, step_for } from '../src/model/time_range.ts';
import { attribute, quote, read_search, read_trace, trace_id_in, write_search, write_trace } from '../src/model/url.ts';
import { snippets } from '../src/views/welcome/snippets.ts';
import { random_of } from '../../test/browser/fixtures.mjs';

const odd = ['', 'plain', 'a b&c=d', '{ .x = "ü" && duration > 1s }', '%2B+', '"\\\n\t', '名前', '#?/', '\u202e'];

test('every search state survives its URL', () => {
  for (const q of odd) {
    for (const from of ['now-1h', 'now-7d', '1763830000000000000']) {
      for (const view of ['list', 'scatter', 'heat'] as const) {
        const state = { q, from, to: 'now', view, box: view === 'heat' ? { t0: 1763830000000, t1: 1763830060000, d0: 0, d1: 2 ** 30 } : null, table: view === 'list', columns: view === 'list' ? 'start,id' : '', sort: view === 'list' ? '-duration' : '' };
        assert.deepEqual(read_search(new URLSearchParams(write_search(state).toString())), state);
      }
    }
  }
});

const plain = { span: '', window: null, find: '', view: 'waterfall', reduce: 'all', gaps: true, merged: false, by: 'operation', sort: '-self', folds: '', into: [] as string[], clocks: false } as const;

test('every trace state survives its URL, and unknown parameters are kept', () => {
  for (const find of odd) {
    for (const window of [null, [-35000000, 12], [0, 90e9]] as ([number, number] | null)[]) {
      const state = { ...plain, span: '00f067aa0ba902b7', window, find, view: 'flame' as const };
      const params = write_trace(state, new URLSearchParams('v=flame&other=1'));
      assert.equal(params.get('other'), '1');
      assert.deepEqual(read_trace(new URLSearchParams(params.toString())), state);
    }
  }
});

test('defaults are left out of the URL, malformed values are ignored', () => {
  assert.equal(write_search({ q: '', from: 'now-1h', to: 'now', view: 'heat', box: null, table: false, columns: '', sort: '' }).toString(), '');
  assert.equal(write_trace(plain).toString(), '');
  assert.deepEqual(read_trace(new URLSearchParams('span=xyz&t=9-1')), plain);
});

test('a trace id is found in what people paste', () => {
  const id = '0af7651916cd43dd8448eb211c80319c';
  for (const text of [id, id.toUpperCase(), ` ${id}\n`, `00-${id}-b7ad6b7169203331-01`, `http://h:16686/trace/${id}?x=1`, '0af76519-16cd-43dd-8448-eb211c80319c']) {
    assert.equal(trace_id_in(text), id, text);
  }
  for (const text of ['', 'abc', id.slice(1), `${id}0`, 'z'.repeat(32)]) assert.equal(trace_id_in(text), null, text);
});

test('tokens cover the text in order, whatever it is', () => {
  const random = random_of(11);
  const alphabet = '{}()="\\`.&|<>!~ abcspan:1µ5.0ms/*\n';
  for (let round = 0; round < 2000; round++) {
    const text = Array.from({ length: Math.floor(random() * 40) }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
    let at = 0;
    for (const token of lex(text)) {
      assert.ok(token.from >= at && token.to > token.from && token.to <= text.length);
      assert.equal(text.slice(at, token.from).trim(), '');
      at = token.to;
    }
    assert.equal(text.slice(at).trim(), '');
  }
});

test('tokens of a usual query have their kinds', () => {
  const q = '{ resource.service.name = "a" && span:duration >= 1h30m && .n != 1.5 && status = error }';
  const kinds = lex(q).map((t) => `${q.slice(t.from, t.to)} ${t.kind}`);
  for (const expected of ['resource.service.name attribute', '"a" string', 'span:duration intrinsic', '1h30m duration', '.n attribute', '1.5 number', 'error keyword', '&& operator', '{ brace']) {
    assert.ok(kinds.includes(expected), `${expected} in ${kinds.join(', ')}`);
  }
});

test('the form writes TraceQL and reads it back', () => {
  const lists = [
    [], [condition('user.id', '=', '4815')], [condition('a b', '=', 'x"y\\'), condition('flag', '!=', 'true')],
    [condition('span.http.route', '=~', '/api/.*'), condition('http.response.status_code', '>=', '500'), condition('rootName', '=', 'GET /'), condition('duration', '<', '2 s'), '.a != nil', '(.a = 1 || .b = "x && y")'],
  ];
  for (const service of ['', 'pay', 'o"dd']) {
    for (const operation of ['', 'GET /x']) {
      for (const [min, max] of [['', ''], ['500ms', '2s'], ['1.5s', '']]) {
        for (const errors of [true, false]) {
          for (const conditions of lists) {
            const form: QueryForm = { service, operation, min, max, errors, conditions };
            assert.deepEqual(read_form(write_form(form)), form, write_form(form));
          }
        }
      }
    }
  }
  assert.deepEqual(read_form(' { } '), kEmptyForm);
});

test('a query that says more than the form is left alone', () => {
  for (const q of ['{ a', '{ .a = 1 } | count() > 2', '{ .a = "x" || .b = "y" }', '{ .a = "x" } >> { }']) {
    assert.equal(read_form(q), null, q);
  }
});

test('conditions are written as they are meant, and shown once', () => {
  const cases: [Parameters<typeof condition>, string, string][] = [
    [['user.id', '=', '4815'], '(.user.id = 4815 || .user.id = "4815")', '.user.id = 4815'],
    [['resource.k8s.pod', '!=', '7'], '(resource.k8s.pod != 7 && resource.k8s.pod != "7")', 'resource.k8s.pod != 7'],
    [['a b', '=~', '5'], '."a b" =~ "5"', '."a b" =~ "5"'],
    [['http.response.body.size', '>', '1000'], '.http.response.body.size > 1000', '.http.response.body.size > 1000'],
    [['kind', '=', 'server'], 'kind = server', 'kind = server'],
    [['event:name', '=', 'exception'], 'event:name = "exception"', 'event:name = "exception"'],
    [['traceDuration', '>', '1.5'], 'traceDuration > 1.5ms', 'traceDuration > 1.5ms'],
  ];
  for (const [given, text, shown] of cases) {
    assert.equal(condition(...given), text);
    assert.equal(shown_condition(text), shown);
  }
});

test('durations that people type become TraceQL', () => {
  assert.equal(parse_duration('500'), '500ms');
  assert.equal(parse_duration(' 1.5 s '), '1.5s');
  assert.equal(parse_duration('fast'), null);
  assert.equal(quote('a"b\\c\n'), '"a\\"b\\\\c\\n"');
  assert.equal(attribute('.', 'a b'), '."a b"');
});

test('figures read as people write them', () => {
  const cases: [string, string][] = [
    [duration(0), '0'], [duration(999), '999 ns'], [duration(1500), '1.5 µs'], [duration(840e6), '840 ms'], [duration(999.7e6), '1 s'],
    [duration(1.42e9), '1.42 s'], [duration(60e9), '1 min'], [duration(200e9), '3 min 20 s'], [duration(-35e6), '−35 ms'], [duration(90061e9), '1 d 1 h'],
    [percent(42, 1000), '4.2 %'], [percent(0, 5), '0 %'], [percent(1, 0), '–'], [percent(99999, 100000), '> 99.9 %'],
    [bytes(48213000), '48.2 MB'], [count_short(1284031), '1.28 M'], [rate(0.001), '< 0.01'], [rate(412.5), '413'],
  ];
  for (const [got, want] of cases) assert.equal(got, want);
  assert.match(exact_time(1763830000000000123n), /\.000000123$/);
});

test('ticks are round and inside the window', () => {
  assert.deepEqual(ticks(0, 100, 5), [0, 20, 40, 60, 80, 100]);
  for (const [from, to] of [[-35e6, 420e6], [0, 3], [1e9, 1.0001e9]]) {
    const marks = ticks(from, to, 8);
    assert.ok(marks.length >= 2 && marks.length <= 10 && marks.every((t) => t >= from && t <= to));
  }
  assert.deepEqual(ticks(5, 5, 4), []);
});

test('times resolve against now, and a senseless range becomes the last hour', () => {
  const now = 1763830000000000000n;
  assert.equal(resolve_time('now-15m', now), now - 900000000000n);
  assert.equal(resolve_time('1763830000000000000', 0n), now);
  assert.equal(resolve_time('yesterday', now), null);
  assert.deepEqual(resolve_range({ from: 'now', to: 'now-1h' }, now), resolve_range(kDefaultRange, now));
  assert.equal(step_for(now - 3600000000000n, now, 60), 60000000000n);
});

test('service colours: 3:1 on both themes, the same for everyone, no two alike among twelve', () => {
  for (const color of kLightPalette) assert.ok(contrast(color, '#ffffff') >= 3 && contrast(color, '#eef0f5') >= 3, color);
  for (const color of kDarkPalette) assert.ok(contrast(color, '#161922') >= 3 && contrast(color, '#0e1016') >= 3, color);
  const names = ['auth', 'cart', 'catalog', 'checkout', 'fraud', 'frontend', 'payment', 'recommend', 'shipping', 'web', 'db', 'edge'];
  const slots = assign_slots(names);
  assert.equal(new Set(slots).size, 12);
  const turned = [...names].reverse();
  const again = assign_slots(turned);
  turned.forEach((name, i) => assert.equal(again[i], slots[names.indexOf(name)]));
  const more = assign_slots([...names, ...names.map((n) => `${n}-2`)]);
  assert.equal(new Set(more).size, 24);
});

test('nine languages and the Collector have a snippet with the endpoint of this server', () => {
  const all = snippets('10.0.0.7:4318', '10.0.0.7:4317');
  for (const id of ['go', 'java', 'python', 'node', 'dotnet', 'cpp', 'rust', 'ruby', 'php', 'collector']) {
    const snippet = all.find((s) => s.id === id);
    assert.ok(snippet, id);
    const code = snippet.steps.map((s) => s.code).join('\n');
    assert.ok(code.includes(id === 'collector' ? '10.0.0.7:4317' : 'http://10.0.0.7:4318'), id);
  }
});

test('a query of one pair of braces is its conditions', () => {
  assert.deepEqual(conditions_of('{ .a = "x && y" && (.b = 1 || .b = "1") && duration > 2s }'), ['.a = "x && y"', '(.b = 1 || .b = "1")', 'duration > 2s']);
  for (const q of ['', '{ }', '{ .a = 1 || .b = 2 }', '{ .a = 1 } >> { .b = 2 }', '{ .a = 1 && }']) assert.deepEqual(conditions_of(q), [], q);
  assert.equal(all_of(conditions_of('{.a=1&&.b=2}')), '{ .a=1 && .b=2 }');
  assert.equal(all_of([]), '{ }');
});
