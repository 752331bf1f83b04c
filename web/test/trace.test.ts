import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode_skeleton } from '../src/model/slt1.ts';
import { collapse_below, first_folds, fold_similar, position_of, reveal, Trace, visible_rows } from '../src/model/trace.ts';
import { TimeScale } from '../src/model/gaps.ts';
import { bar_of } from '../src/views/trace/bars.ts';
import { large_root, make_fixtures, random_of, TraceFixture } from '../../test/browser/fixtures.mjs';
import { encode_slt1 } from '../../test/browser/slt1_encode.mjs';

const fixtures = make_fixtures(1763830000000);

function trace_of(fixture: TraceFixture): Trace {
  return new Trace(decode_skeleton(encode_slt1(fixture.header(-1), fixture.rows).buffer as ArrayBuffer));
}

function special(name: string): Trace {
  return trace_of(fixtures.special.get(name) as TraceFixture);
}

test('starts are absolute again after decoding', () => {
  const fixture = fixtures.special.get('shop') as TraceFixture;
  const trace = trace_of(fixture);
  (fixture.spans as { span: { start: number }; parent: number }[]).forEach((entry, row) => {
    assert.ok(Math.abs(trace.start[row] - entry.span.start) <= 12, `row ${row}`);
    assert.equal(trace.parent[row], entry.parent);
  });
});

test('a subtree is one range, and its rows are the descendants', () => {
  const trace = trace_of(new TraceFixture('00'.repeat(16), 0, large_root(3000, random_of(3))));
  for (let row = 0; row < trace.n; row += 37) {
    for (let at = 0; at < trace.n; at++) {
      let up = at;
      while (up > row) up = trace.parent[up];
      assert.equal(at >= row && at < trace.end[row], up === row && at >= row);
    }
  }
});

test('self time is what no child covers, and never below zero', () => {
  const trace = special('shop');
  for (let row = 0; row < trace.n; row++) {
    const self = trace.self_time(row);
    assert.ok(self >= 0 && self <= trace.dur[row] + 1);
    if (trace.children[row] === 0) assert.equal(self, trace.dur[row]);
  }
});

test('overlapping children are counted once in self time', () => {
  const leaf = (start: number, dur: number) => ({ service: 's', name: 'c', start, dur });
  const root = { service: 's', name: 'r', start: 0, dur: 100, children: [leaf(10, 40), leaf(20, 10), leaf(30, 40), leaf(90, 50)] };
  assert.equal(trace_of(new TraceFixture('00'.repeat(16), 0, root)).self_time(0), 100 - 60 - 10);
});

test('a clock that is ahead moves the left edge of the axis, orphans are roots', () => {
  const trace = special('broken');
  assert.equal(trace.first, -35e6);
  assert.equal(trace.n, 7);
  assert.equal(trace.parent[4], -1);
  assert.equal(trace.depth[6], 0);
});

test('a trace of depth 2000 is laid out without recursion', () => {
  const trace = special('deep');
  assert.equal(trace.max_depth, 1999);
  assert.equal(trace.end[0], 2000);
});

test('collapsed rows hide exactly their subtrees, and reveal opens the way to a row', () => {
  const trace = trace_of(new TraceFixture('00'.repeat(16), 0, large_root(2000, random_of(5))));
  const collapsed = collapse_below(trace, 1);
  const rows = visible_rows(trace, collapsed);
  for (const row of rows) assert.ok(trace.depth[row] <= 1);
  const deep = trace.depth.indexOf(trace.max_depth);
  assert.ok(reveal(trace, collapsed, deep));
  const shown = visible_rows(trace, collapsed);
  assert.equal(shown[position_of(shown, deep)], deep);
  assert.ok(!reveal(trace, collapsed, deep));
});

test('find looks into names and services, and an empty text finds nothing', () => {
  const trace = special('shop');
  assert.equal(trace.find('BANK').length, 3);
  assert.ok(trace.find('cart').length >= 15);
  assert.equal(trace.find('  ').length, 0);
});

test('the display list: bars keep their place, short ones stay visible, far ones become arrows', () => {
  const trace = special('shop');
  const view = { scale: new TimeScale(0, trace.duration, 1000), margin: 64 };
  for (let row = 0; row < trace.n; row++) {
    const bar = bar_of(trace, row, view, false, '1 ms', 30);
    assert.ok(Math.abs(bar.x - view.scale.x(trace.start[row])) < 3);
    assert.ok(bar.width >= 2);
    assert.equal(bar.error, trace.is_error(row));
    assert.ok(bar.label_x >= 0 && (bar.label_inside || bar.label_x + 30 <= view.scale.width + view.margin));
  }
  const late = { ...view, scale: new TimeScale(trace.duration * 0.9, trace.duration, 1000) };
  assert.equal(bar_of(trace, 2, late, false, '', 0).outside, 'before');
  assert.equal(bar_of(trace, trace.n - 1, { ...view, scale: new TimeScale(0, 1e6, 1000) }, false, '', 0).outside, 'after');
});

test('a collapsed row shows where its hidden spans are', () => {
  const trace = special('shop');
  const view = { scale: new TimeScale(0, trace.duration, 1000), margin: 64 };
  const bar = bar_of(trace, 0, view, true, '', 0);
  assert.equal(bar.hidden.length, 2 * (trace.n - 1));
  assert.equal(bar_of(trace, 0, view, false, '', 0).hidden.length, 0);
});

test('similar leaf siblings are found, folded into one row, and opened for a row inside', () => {
  const trace = special('shop');
  assert.deepEqual([...trace.similar.values()], [15]);
  const [head] = trace.similar.keys();
  const folds = fold_similar(trace);
  assert.equal(visible_rows(trace, folds).length, trace.n - 14);
  const view = { scale: new TimeScale(0, trace.duration, 1000), margin: 64 };
  const bar = bar_of(trace, head, view, true, '', 0);
  assert.equal(bar.members.length, 30);
  assert.ok(bar.width > 80, 'the bar reaches to the last of them');
  assert.ok(reveal(trace, folds, head + 3));
  assert.equal(visible_rows(trace, folds).length, trace.n);
});

test('a failed one among similar siblings is never folded away with the others', () => {
  const leaf = (i: number) => ({ service: 's', name: 'q', start: i, dur: 1, error: i === 4 ? 'bad' : undefined });
  const root = { service: 's', name: 'r', start: 0, dur: 100, children: Array.from({ length: 9 }, (_, i) => leaf(i)) };
  assert.equal(trace_of(new TraceFixture('00'.repeat(16), 0, root)).similar.size, 0);
});

test('a large trace starts folded to a page or two, a small one open', () => {
  const large = trace_of(new TraceFixture('00'.repeat(16), 0, large_root(20000, random_of(9))));
  const rows = visible_rows(large, first_folds(large));
  assert.ok(rows.length >= 20 && rows.length <= 300, String(rows.length));
  const tiny = special('tiny');
  assert.equal(visible_rows(tiny, first_folds(tiny)).length, tiny.n);
});
