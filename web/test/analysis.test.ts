import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Series } from '../src/api/metrics.ts';
import { explain } from '../src/model/explain.ts';
import { box_of, count_in, heat_of, place_of, read_box, write_box } from '../src/model/heat.ts';
import { equals, narrow_query } from '../src/model/narrow_query.ts';
import { random_of } from '../../test/browser/fixtures.mjs';

const line = (labels: Record<string, string>, values: number[], step = 1000): Series => ({ labels, values, times: values.map((_, i) => i * step), exemplars: [] });

test('a heatmap holds every counted span in its cell', () => {
  const bucket = (power: number): string => String(2 ** power / 1e9);
  const heat = heat_of([line({ __bucket: bucket(20) }, [1, 2, 0]), line({ __bucket: bucket(22) }, [0, 0, 5])], 0, 3000, 1000);
  assert.ok(heat);
  assert.deepEqual([heat.columns, heat.rows, heat.first_power, heat.total, heat.most], [3, 3, 19, 8, 5]);
  assert.deepEqual([...heat.counts], [1, 2, 0, 0, 0, 0, 0, 0, 5]);
  assert.equal(heat_of([], 0, 1000, 10), null);
});

test('a box is whole cells, and lies where it was drawn', () => {
  const random = random_of(4);
  const heat = heat_of([line({ __bucket: String(2 ** 18 / 1e9) }, [1]), line({ __bucket: String(2 ** 33 / 1e9) }, [1])], 5000, 65000, 1000);
  assert.ok(heat);
  for (let round = 0; round < 200; round++) {
    const box = box_of(heat, random(), random(), random(), random());
    const place = place_of(heat, box);
    const again = box_of(heat, place.x + 1e-9, place.x + place.width - 1e-9, place.y + 1e-9, place.y + place.height - 1e-9);
    assert.deepEqual(again, box);
    assert.deepEqual(read_box(write_box(box)), { ...box, d0: Math.round(box.d0), d1: Math.round(box.d1) });
  }
  assert.equal(count_in(heat, box_of(heat, 0, 1, 0, 1)), 2);
  assert.equal(count_in(heat, box_of(heat, 0, 1, 0.5, 1)), 1);
  assert.equal(box_of(heat, 0, 1, 0, 0.01).d0, 0, 'the lowest row has everything below it');
  for (const text of ['', '1,2,3', '2,1,0,1', '1,2,5,4', 'a,b,c,d', '1,2,-1,4']) assert.equal(read_box(text), null, text);
});

test('the explanation finds the planted cause first, and shares are of their own side', () => {
  const series = [
    line({ __meta_type: 'selection', 'resource.host.name': 'h-17' }, [45, 45]), line({ __meta_type: 'selection', 'resource.host.name': 'h-1' }, [10]),
    line({ __meta_type: 'baseline', 'resource.host.name': 'h-17' }, [60]), line({ __meta_type: 'baseline', 'resource.host.name': 'h-1' }, [940]),
    line({ __meta_type: 'selection', name: 'GET /' }, [50]), line({ __meta_type: 'selection', name: 'POST /' }, [50]),
    line({ __meta_type: 'baseline', name: 'GET /' }, [520]), line({ __meta_type: 'baseline', name: 'POST /' }, [480]),
    line({ __meta_type: 'selection_total', name: 'nil' }, [100]), line({ __meta_type: 'baseline_total', name: 'nil' }, [1000]),
    line({ __meta_type: 'selection', 'span.user.id': '1', __meta_error: '__too_many_values__' }, [1]),
    line({ __meta_type: 'selection', status: 'unset' }, [100]), line({ __meta_type: 'baseline', status: 'unset' }, [1000]),
  ];
  const found = explain(series);
  assert.deepEqual(found.differences.map((d) => [d.attribute, d.value]), [['resource.host.name', 'h-17'], ['name', 'POST /']]);
  assert.deepEqual([found.differences[0].inside, found.differences[0].outside, found.differences[0].count], [0.9, 0.06, 90]);
  assert.deepEqual([found.inside_total, found.outside_total], [100, 1000]);
});

test('a query is narrowed inside its braces where it can be, else by one more step', () => {
  assert.equal(narrow_query('', 'status = error'), '{ status = error }');
  assert.equal(narrow_query('{ }', 'status = error'), '{ status = error }');
  assert.equal(narrow_query('{ .a = 1 }', 'status = error'), '{ .a = 1 && status = error }');
  assert.equal(narrow_query('{ .a = 1 || .b = 2 }', 'status = error'), '{ (.a = 1 || .b = 2) && status = error }');
  assert.equal(narrow_query('{ .a = "}" }', 'status = error'), '{ .a = "}" && status = error }');
  assert.equal(narrow_query('{ .a = 1 } >> { .b = 2 }', 'status = error'), '{ .a = 1 } >> { .b = 2 } | { status = error }');
});

test('labels of metrics become conditions', () => {
  assert.equal(equals('resource.service.name', 'a "b"'), 'resource.service.name = "a \\"b\\""');
  assert.equal(equals('status', 'error'), 'status = error');
  assert.equal(equals('kind', 'server', true), 'kind != server');
  assert.equal(equals('name', 'GET /'), 'name = "GET /"');
  assert.equal(equals('span.http.response.status_code', '502'), '(span.http.response.status_code = 502 || span.http.response.status_code = "502")');
  assert.equal(equals('span.odd key', 'x'), 'span."odd key" = "x"');
});
