import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision, Forwarded, WhyAnswer } from '../src/api/keep.ts';
import { is_gone, one_in_text, sent_on, told } from '../src/model/decision.ts';
import { broken_at, empty_rule, form_of, type KeepRules, moved, place_in, problem_of, rules_of, size_text, text_of } from '../src/model/keep_rules.ts';

const kRules: KeepRules = {
  recent: { for: '24h', disk: 53687091200 },
  keep: [
    { name: 'errors', match: '{ status = error }', rate: 1, for: '30d' }, { name: 'slow', slowest: 0.01, rate: 1, by: ['resource.service.name', 'name'] },
    { name: 'half', match: '{ .a = "x, \\"y\\"" }', rate: 0.5, max_bytes: 1500 }, { name: 'rest', per_second: 50, by: ['resource."a, b"', 'name'] }, { name: 'keys', per_key: 2, by: ['name'] },
  ],
};

/** As the server reads it: sizes are texts or numbers. */
const sized = (rules: KeepRules): KeepRules => ({
  recent: { ...rules.recent, disk: '50GiB' }, keep: rules.keep.map((rule) => (rule.max_bytes === undefined ? rule : { ...rule, max_bytes: size_text(rule.max_bytes) })),
});

test('rules as text: one on a line, and the same rules again', () => {
  const text = text_of(kRules);
  assert.deepEqual(JSON.parse(text), sized(kRules));
  const lines = text.split('\n');
  assert.equal(lines[1], '  "recent": {"for": "24h", "disk": "50GiB"},');
  assert.equal(lines[3], '    {"name": "errors", "match": "{ status = error }", "rate": 1, "for": "30d"},');
  assert.deepEqual(JSON.parse(text_of({ recent: {}, keep: [] })), { recent: {}, keep: [] });
});

test('rules as a form: and the same rules again', () => {
  const form = form_of(kRules);
  assert.ok(form);
  assert.deepEqual(form.rules.map((rule) => [rule.how, rule.amount]), [['all', ''], ['all', ''], ['rate', '0.5'], ['per_second', '50'], ['per_key', '2']]);
  assert.deepEqual(rules_of(form), sized(kRules));
});

test('a form sends what is no number as it was written, and leaves out what is empty', () => {
  const rule = { ...empty_rule(), name: ' a ', how: 'rate' as const, amount: 'many', slowest: '', by: ' , name,, ' };
  assert.deepEqual(rules_of({ recent_for: ' ', recent_disk: '', rules: [rule, { ...rule, how: 'per_second', amount: '' }] }), {
    recent: {}, keep: [{ name: 'a', rate: 'many', by: ['name'] }, { name: 'a', per_second: '', by: ['name'] }],
  });
});

test('the form says where it has no fields for a text', () => {
  for (const [value, fits] of [
    [{ keep: [] }, true], [{ keep: [{ name: 'a' }] }, true], [{ recent: { for: 3 }, keep: [] }, true], [null, false], [[], false], [{}, false], [{ keep: {} }, false], [{ keep: [], forward: [] }, false], [{ keep: [3] }, false],
    [{ keep: [{ name: 'a', colour: 1 }] }, false], [{ keep: [{ name: 'a', by: 'name' }] }, false], [{ keep: [{ name: ['a'] }] }, false], [{ keep: [{ name: 'a', rate: 1, per_key: 2 }] }, false],
    [{ recent: { what: 1 }, keep: [] }, false],
  ] as const) assert.equal(form_of(value) !== null, fits, JSON.stringify(value));
});

test('sizes are written without losing a byte', () => {
  assert.deepEqual([0, 1, 1023, 1024, 1536, 5e9, 53687091200, 53687091201, '7GB'].map(size_text), ['0', '1', '1023', '1KiB', '1536', '5GB', '50GiB', '53687091201', '7GB']);
});

test('what the server says is wrong is found in the rules', () => {
  const rules = { keep: [{ name: 'a' }, { name: 'b: (c)' }] };
  const at = (message: string) => {
    const { path, message: said, column } = problem_of(message, rules);
    return [path.join('.'), said, column];
  };
  assert.deepEqual(at('keep[0] (a): match: parse error at line 1, col 8: no'), ['keep.0.match', 'parse error at line 1, col 8: no', 7]);
  assert.deepEqual(at('keep[1] (b: (c)): rate: must be a number'), ['keep.1.rate', 'must be a number', -1]);
  assert.deepEqual(at("keep[1]: name: there are two rules 'x'"), ['keep.1.name', "there are two rules 'x'", -1]);
  assert.deepEqual(at('keep[0] (a): by needs per_second, per_key or slowest'), ['keep.0', 'by needs per_second, per_key or slowest', -1]);
  assert.deepEqual(at('keep[0] (a): colour: there is no such setting'), ['keep.0', 'colour: there is no such setting', -1]);
  assert.deepEqual(at('recent.for: must be a duration like 24h or 30d'), ['recent.for', 'must be a duration like 24h or 30d', -1]);
  assert.deepEqual(at('keep: must be a list of rules'), ['', 'keep: must be a list of rules', -1]);
  assert.deepEqual(problem_of('keep[9]: x', 'no rules').path, ['keep', 9]);
});

test('settings are found in text, or what is around them', () => {
  const text = '{"keep": [{"name": "}]{"},\n  {"rate" : [1, {}], "match": "{ }"}], "recent": {}}';
  assert.deepEqual(place_in(text, ['keep', 0, 'name']), { line: 1, column: 20 });
  assert.deepEqual(place_in(text, ['keep', 1, 'match']), { line: 2, column: 31 });
  assert.deepEqual(place_in(text, ['keep', 1, 'per_key']), { line: 2, column: 3 });
  assert.deepEqual(place_in(text, ['keep', 7, 'name']), { line: 1, column: 10 });
  assert.deepEqual(place_in(text, ['recent', 'for']), { line: 2, column: 50 });
  assert.deepEqual(place_in('', ['keep']), { line: 1, column: 1 });
});

test('text that is no JSON says where; what is JSON is so for the browser, too', () => {
  for (const text of ['{}', ' [1, -2.5e3, "a\\u00e9\\n", true, null, {"a": []}] ', '"x"', '0']) {
    assert.equal(broken_at(text), null, text);
    JSON.parse(text);
  }
  for (const [text, line, column] of [
    ['', 1, 1], ['{', 1, 2], ['{"a" 1}', 1, 6], ['{"a": 1,}', 1, 9], ['[1 2]', 1, 4], ['{} {}', 1, 4], ['{"a":\n  tru}', 2, 3], ['"a', 1, 1], ['[01]', 1, 3], ['["\n"]', 1, 2], ["{'a': 1}", 1, 2],
  ] as const) {
    assert.deepEqual(broken_at(text), { line, column }, text);
    assert.throws(() => JSON.parse(text));
  }
});

test('rules are moved by one place, not beyond the ends', () => {
  assert.deepEqual(moved(['a', 'b', 'c'], 0, 1), ['b', 'a', 'c']);
  assert.deepEqual(moved(['a', 'b', 'c'], 0, -1), ['a', 'b', 'c']);
  assert.deepEqual(moved(['a', 'b', 'c'], 2, 1), ['a', 'b', 'c']);
});

// ---- decisions ----

const kHour = 3_600_000;
const kNow = 1_800_000_000_000;
const decided = (more: Partial<Decision> = {}): Decision => ({
  at: `${kNow - 3 * kHour}000000`, fate: 'dropped', rule: 'rest', rule_text: null, rules_source: 'api', rules_version: 4, threshold: 'fd70a3d70a3d70', one_in: 100, spans: 23, error: false, bytes: 5600, duration_ns: '410000000', ...more,
});
const answer = (more: Partial<WhyAnswer> = {}): WhyAnswer => ({ trace_id: 'ab'.repeat(16), state: 'dropped', pinned: false, ambiguous: false, stored_spans: 0, decisions: [decided()], forwarded: [], known_since: `${kNow}000000`, ...more });

test('what became of a trace is told in a sentence', () => {
  assert.deepEqual(told(answer(), kNow), ['Dropped 3 h ago by the rule “rest”, which kept 1 in 100.']);
  assert.deepEqual(told(answer({ decisions: [decided({ one_in: null, threshold: 'none', rule: 'health' })] }), kNow), ['Dropped 3 h ago by the rule “health”, which keeps none.']);
  assert.deepEqual(told(answer({ decisions: [decided({ one_in: null, threshold: 'none', rule: null })] }), kNow), ['Dropped 3 h ago as no rule matched.']);
  assert.deepEqual(told(answer({ state: 'kept', stored_spans: 3, pinned: true, decisions: [decided({ fate: 'kept', one_in: 1, rule: 'errors' })] }), kNow), [
    'Kept 3 h ago by the rule “errors”.', 'It is pinned: it stays for ever.',
  ]);
});

test('what came late, was gone since, or may be another trace is added', () => {
  const late = answer({ state: 'kept', ambiguous: true, decisions: [decided({ fate: 'kept_late', at: `${kNow}000000` }), decided({ fate: 'kept', one_in: 2.5 })] });
  const said = told(late, kNow);
  assert.equal(said[0], 'Kept 3 h ago by the rule “rest”, which kept 1 in 2.5.');
  assert.match(said.join(' '), /gone since, by retention.*came late, 1 time;.*has the same/);
  assert.equal(is_gone(late), true);
});

test('what was not decided says what is known', () => {
  assert.match(told(answer({ state: 'recent', stored_spans: 3, decisions: [] }), kNow)[0], /^Recent: .*not decided yet/);
  assert.match(told(answer({ state: 'kept', stored_spans: 3, decisions: [] }), kNow)[0], /^Stored; why/);
  assert.match(told(answer({ state: 'unknown', decisions: [] }), kNow)[0], /not decided about since 2027-/);
  assert.match(told(answer({ state: 'unknown', decisions: [], known_since: null }), kNow)[0], /no trace was dropped yet/);
  assert.equal(is_gone(answer({ state: 'unknown', decisions: [] })), false);
  assert.equal(is_gone(answer({ state: 'recent', stored_spans: 3, decisions: [] })), false);
});

const forwarded = (more: Partial<Forwarded> = {}): Forwarded => ({
  target: 'vendor', state: 'sent', rule: 'errors', one_in: 1, late: false, spans: 23, decided: `${kNow - 120_000}000000`, ended: `${kNow - 60_000}000000`, known_since: `${kNow - 86_400_000}000000`, problem: '', ...more,
});

test('what a target of forwarding got is told in sentences', () => {
  const said = (more: Partial<Forwarded>): string => sent_on(forwarded(more), kNow);
  assert.equal(said({}), 'Sent 1 min ago. Chosen by the rule “errors”. 23 spans.');
  assert.equal(said({ one_in: 10, spans: 1 }), 'Sent 1 min ago. Chosen by the rule “errors”, which kept 1 in 10. One span.');
  assert.equal(said({ rule: null, late: true, spans: 2 }), 'Sent 1 min ago. 2 spans that came late.');
  assert.equal(said({ state: 'waiting', ended: null, problem: 'connection refused' }), 'Waits to be sent, chosen 2 min ago (connection refused). Chosen by the rule “errors”. 23 spans.');
  assert.match(said({ state: 'dead_letter' }), /^Refused for good 1 min ago; it is in the dead letters\./);
  assert.match(said({ state: 'given_up' }), /^Given up 1 min ago/);
  assert.match(said({ state: 'gone', spans: 0 }), /^Not stored any more when it was to be sent, 1 min ago\. Chosen by the rule “errors”\.$/);
  assert.match(said({ state: 'not_chosen' }), /did not choose it, 2 min ago\.$/);
  assert.match(said({ state: 'held' }), /waits for more of the trace/);
  assert.match(said({ state: 'unknown' }), /^Not sent since 20/);
  assert.equal(said({ state: 'unknown', known_since: null }), 'Nothing was sent yet.');
});

test('weights are written as exactly as they are needed', () => {
  assert.deepEqual([1, 2, 2.5, 10.004, 99.996, 100.4, 123456].map(one_in_text), ['1', '2', '2.5', '10', '100', '100', '123456']);
});
