import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lanes_of, merge_flame } from '../src/model/flame.ts';
import { idle_gaps, kGapWidth, TimeScale } from '../src/model/gaps.ts';
import { fold_graph } from '../src/model/graph.ts';
import { critical_times, group_spans, quantile } from '../src/model/operations.ts';
import { kept_rows } from '../src/model/reduce.ts';
import { decode_skeleton } from '../src/model/slt1.ts';
import { kFlagCritical, Trace } from '../src/model/trace.ts';
import { kTraceViews, read_trace, write_trace } from '../src/model/url.ts';
import { line_of } from '../src/widgets/graph_layout.ts';
import { large_root, make_fixtures, random_of, TraceFixture } from '../../test/browser/fixtures.mjs';
import { encode_slt1 } from '../../test/browser/slt1_encode.mjs';

interface Span {
  service: string;
  name: string;
  start: number;
  dur: number;
  error?: string;
  critical?: boolean;
  children?: Span[];
}

function trace_of(fixture: TraceFixture): Trace {
  return new Trace(decode_skeleton(encode_slt1(fixture.header(-1), fixture.rows).buffer as ArrayBuffer));
}

const made = (root: Span | Span[]): Trace => trace_of(new TraceFixture('00'.repeat(16), 0, root));
const span = (service: string, name: string, start: number, dur: number, more: Partial<Span> = {}): Span => ({ service, name, start, dur, ...more });
const shop = (): Trace => trace_of(make_fixtures(1763830000000).special.get('shop') as TraceFixture);
const random_trace = (seed: number): Trace => trace_of(new TraceFixture('00'.repeat(16), 0, large_root(2000, random_of(seed))));

test('groups hold every span once, and their self times add up to those of the trace', () => {
  for (const trace of [shop(), random_trace(5)]) {
    for (const by of ['operation', 'service', 'name', 'kind', 'resource'] as const) {
      const groups = group_spans(trace, by);
      assert.equal(groups.reduce((sum, g) => sum + g.count, 0), trace.n);
      let self = 0;
      for (let row = 0; row < trace.n; row++) self += trace.self_time(row);
      assert.ok(Math.abs(groups.reduce((sum, g) => sum + g.self, 0) - self) <= 1e-6 * self + 1);
      for (const group of groups) {
        assert.ok(group.p50 <= group.p95 && group.p95 <= group.max);
        assert.equal(trace.dur[group.longest], group.max);
      }
    }
  }
});

test('a group by an attribute goes by what the spans say', () => {
  const trace = made(span('a', 'r', 0, 100, { children: [span('a', 'x', 0, 10), span('a', 'y', 20, 30), span('a', 'z', 60, 10)] }));
  const groups = group_spans(trace, 'name', null, ['', 'red', 'red', 'blue']);
  assert.deepEqual(groups.map((g) => [g.name, g.count, g.total]), [['', 1, 100], ['red', 2, 40], ['blue', 1, 10]]);
});

test('quantiles of few values', () => {
  assert.equal(quantile(Float64Array.of(1, 2, 3, 4), 0.5), 2);
  assert.equal(quantile(Float64Array.of(7), 0.95), 7);
  assert.ok(Number.isNaN(quantile(new Float64Array(0), 0.5)));
});

test('the critical path is shared out: a parent has what its critical children leave', () => {
  const trace = made(span('a', 'r', 0, 100, {
    critical: true, children: [span('b', 'x', 10, 30, { critical: true }), span('b', 'y', 20, 10), span('c', 'z', 50, 40, { critical: true })],
  }));
  assert.deepEqual([...critical_times(trace)], [30, 30, 0, 40]);
});

test('lanes: below the parent, and never two spans at the same time in one lane', () => {
  for (const trace of [shop(), random_trace(9)]) {
    const { lane, count } = lanes_of(trace);
    const by_lane = new Map<number, [number, number][]>();
    for (let row = 0; row < trace.n; row++) {
      assert.ok(lane[row] < count);
      if (trace.parent[row] >= 0) assert.ok(lane[row] > lane[trace.parent[row]]);
      by_lane.set(lane[row], [...(by_lane.get(lane[row]) ?? []), [trace.start[row], trace.start[row] + trace.dur[row]]]);
    }
    let overlaps = 0;
    for (const spans of by_lane.values()) {
      spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      for (let i = 1; i < spans.length; i++) if (spans[i][0] < spans[i - 1][1]) overlaps++;
    }
    assert.ok(overlaps <= trace.n / 100, `${overlaps} overlaps`);
  }
});

test('the merged flame: equal paths are one, weights add up, the heaviest comes first', () => {
  const trace = made(span('a', 'r', 0, 100, {
    children: [span('b', 'light', 0, 10), span('b', 'heavy', 10, 20), span('b', 'heavy', 40, 30, { error: 'no' }), span('b', 'light', 80, 5)],
  }));
  const { nodes, node_of, depth } = merge_flame(trace);
  assert.equal(depth, 2);
  assert.equal(nodes.length, 4);
  assert.equal(nodes[0].value, 100);
  const heavy = nodes[node_of[2]];
  assert.deepEqual([heavy.name, heavy.count, heavy.value, heavy.errors, heavy.x], ['heavy', 2, 50, 1, 0]);
  assert.equal(nodes[node_of[1]].x, 50);
  for (const node of nodes) {
    const below = node.children.reduce((sum, child) => sum + nodes[child].value, 0);
    assert.ok(Math.abs(node.value - node.self - below) < 1e-6);
  }
});

test('idle gaps are the long times in which nothing runs', () => {
  const trace = made([span('a', 'one', 0, 100), span('a', 'two', 120, 80), span('a', 'three', 900, 100)]);
  assert.deepEqual(idle_gaps(trace), [{ from: 200, to: 900 }]);
  assert.deepEqual(idle_gaps(made(span('a', 'r', 0, 100))), []);
});

test('a time scale goes there and back, in order, with gaps and without', () => {
  for (const gaps of [[], [{ from: 200, to: 900 }], [{ from: 100, to: 300 }, { from: 400, to: 950 }]]) {
    const scale = new TimeScale(0, 1000, 800, gaps);
    let before = -1;
    for (let t = 0; t <= 1000; t += 10) {
      const x = scale.x(t);
      assert.ok(x > before);
      assert.ok(Math.abs(scale.t(x) - t) < 1e-6, `${t} ${x} ${scale.t(x)}`);
      before = x;
    }
    assert.ok(Math.abs(scale.x(1000) - 800) < 1e-6);
    for (const gap of scale.gaps) assert.ok(Math.abs(scale.x(gap.to) - scale.x(gap.from) - kGapWidth) < 1e-6);
  }
  assert.equal(new TimeScale(300, 800, 800, [{ from: 200, to: 900 }]).gaps.length, 0, 'a gap that fills the window is drawn as it is');
});

test('what is kept has its ancestors, and nothing else', () => {
  for (const trace of [shop(), random_trace(3)]) {
    assert.equal(kept_rows(trace, 'all', null), null);
    assert.equal(kept_rows(trace, 'matches', null), null);
    const matches = Uint8Array.from({ length: trace.n }, (_, row) => (row % 97 === 5 ? 1 : 0));
    for (const reduce of ['auto', 'errors', 'critical', 'matches'] as const) {
      const kept = kept_rows(trace, reduce, matches) as Uint8Array;
      for (let row = 0; row < trace.n; row++) {
        if (kept[row] && trace.parent[row] >= 0) assert.equal(kept[trace.parent[row]], 1);
        if (reduce === 'errors' && trace.is_error(row)) assert.equal(kept[row], 1);
        if (reduce === 'critical' && trace.has(row, kFlagCritical)) assert.equal(kept[row], 1);
        if (reduce === 'matches' && matches[row]) assert.equal(kept[row], 1);
      }
      for (let row = 0; row < trace.n; row++) {
        if (!kept[row] || reduce !== 'matches') continue;
        let below = false;
        for (let at = row; at < trace.end[row]; at++) below ||= matches[at] === 1;
        assert.ok(below || trace.run_of[row] === row, `row ${row} leads to a match`);
      }
    }
  }
});

test('the graph: one node per service, or per operation where opened, and the calls between them', () => {
  const trace = made(span('web', 'GET /', 0, 100, {
    children: [span('web', 'render', 1, 2), span('api', 'list', 10, 20), span('api', 'list', 40, 30, { error: 'no', children: [span('db', 'select', 45, 5)] })],
  }));
  const folded = fold_graph(trace, new Set());
  assert.deepEqual(folded.nodes.map((n) => [n.service, n.spans, n.errors]), [[0, 2, 0], [1, 2, 1], [2, 1, 0]]);
  assert.deepEqual(folded.edges.map((e) => [e.from, e.to, e.calls, e.errors, e.total]), [['0', '1', 2, 1, 50], ['1', '2', 1, 0, 5]]);
  const opened = fold_graph(trace, new Set([0]));
  assert.equal(opened.nodes.length, 4);
  assert.deepEqual(opened.edges[0].calls, 1);
});

test('the state of a trace goes into the URL and comes back', () => {
  for (const view of kTraceViews) {
    const state = { span: '00f067aa0ba902b7', window: [5, 900] as [number, number], find: 'a b', view, reduce: 'errors' as const, gaps: false, merged: true, by: 'http.route', sort: 'name', folds: 'nAg', into: ['cart, old', 'payment'], clocks: true };
    assert.deepEqual(read_trace(new URLSearchParams(write_trace(state).toString())), state);
  }
  assert.equal(write_trace(read_trace(new URLSearchParams())).toString(), '');
  assert.equal(read_trace(new URLSearchParams('v=nonsense&reduce=')).view, 'waterfall');
});

test('lines of a graph go from side to side, back calls straight', () => {
  assert.equal(line_of({ x: 50, y: 10 }, { x: 250, y: 40 }, [{ x: 90, y: 12 }, { x: 150, y: 40 }, { x: 210, y: 40 }], 40), 'M90.0 10.0C120.0 10.0 120.0 40.0 150.0 40.0C180.0 40.0 180.0 40.0 210.0 40.0');
  assert.equal(line_of({ x: 250, y: 10 }, { x: 50, y: 40 }, [{ x: 210, y: 10 }, { x: 90, y: 40 }], 40), 'M210.0 10.0L90.0 40.0');
});
