import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kNameMax, recent_searches, saved_searches, with_recent, with_saved, without_saved } from '../src/model/kept_searches.ts';

test('a name says one search: the newest', () => {
  const list = with_saved(with_saved([], { name: ' slow ', q: '{ duration > 1s }' }), { name: 'errors', q: '{ status = error }' });
  assert.deepEqual(list.map((one) => one.name), ['errors', 'slow']);
  assert.deepEqual(with_saved(list, { name: 'slow', q: '{ duration > 2s }' }).find((one) => one.name === 'slow')?.q, '{ duration > 2s }');
  assert.deepEqual(without_saved(list, 'slow').map((one) => one.name), ['errors']);
  assert.equal(with_saved([], { name: 'x'.repeat(500), q: '{ }' })[0].name.length, kNameMax);
});

test('what is no search is not kept', () => {
  assert.deepEqual(with_saved([], { name: '  ', q: '{ }' }), []);
  assert.deepEqual(with_saved([], { name: 'empty', q: ' ' }), []);
  assert.deepEqual(saved_searches({ name: 'a' }), []);
  assert.deepEqual(saved_searches([null, 3, { name: 'a' }, { name: 'a', q: '{ }' }]), [{ name: 'a', q: '{ }' }]);
});

test('recent searches: newest first, each once, a dozen', () => {
  let list: string[] = [];
  for (let i = 0; i < 20; i++) list = with_recent(list, `{ .n = ${i} }`);
  assert.equal(list.length, 12);
  assert.equal(list[0], '{ .n = 19 }');
  assert.deepEqual(with_recent(['a', 'b'], 'b'), ['b', 'a']);
  assert.deepEqual(with_recent(['a'], '  '), ['a']);
  assert.deepEqual(recent_searches('not JSON'), []);
  assert.deepEqual(recent_searches('["a", 3]'), ['a']);
  assert.deepEqual(recent_searches(null), []);
});
