import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MapAnswer, MapEdgeAnswer } from '../src/api/types.ts';
import { duration_for_people, duration_in, short_duration } from '../src/model/format.ts';
import { around, map_of } from '../src/model/map.ts';

const edge = (client: string, server: string, type: MapEdgeAnswer['type'] = '', more: Partial<MapEdgeAnswer> = {}): MapEdgeAnswer => ({
  client, server, type, count: 10, errors: 1, spans: 10, p50_ns: 5, p95_ns: 9, ...more,
});
const answer = (edges: MapEdgeAnswer[]): MapAnswer => ({
  nodes: ['shop', 'payment', 'mailer'].map((name) => ({ name, rate: 5, count: 100, errors: 2, spans: 100 })), edges, unpaired: [], partial: false, reason: '',
});

test('the map has services, databases and who is outside, each once', () => {
  const { nodes, edges, sampled } = map_of(answer([
    edge('user', 'shop', 'virtual_node', { count: 30, spans: 30 }), edge('shop', 'payment'), edge('payment', 'orders', 'database'), edge('shop', 'orders', 'database', { errors: 0 }),
    edge('payment', 'bank.example', 'virtual_node'), edge('payment', 'mailer', 'messaging_system', { queue_p50_ns: 3, queue_p95_ns: 7 }),
  ]), 20);
  assert.deepEqual([nodes.get('shop')?.rate, nodes.get('outside/user')?.rate], [5, 1.5]);
  assert.deepEqual([...nodes.values()].map(({ id, name, kind, count }) => [id, name, kind, count]), [
    ['shop', 'shop', 'service', 100], ['payment', 'payment', 'service', 100], ['mailer', 'mailer', 'service', 100], ['outside/user', 'user', 'outside', 30], ['database/orders', 'orders', 'database', 20],
    ['outside/bank.example', 'bank.example', 'outside', 10],
  ]);
  assert.equal(nodes.get('database/orders')?.errors, 1);
  assert.deepEqual(edges.map(({ from, to }) => [from, to])[0], ['outside/user', 'shop']);
  assert.deepEqual(edges.filter((one) => one.is_queue).map(({ to, wait_p95 }) => [to, wait_p95]), [['mailer', 7]]);
  assert.equal(sampled, false);
  assert.deepEqual(around(edges, 'database/orders', 1).map(({ from }) => from).sort(), ['payment', 'shop']);
});

test('what its callers name is the service where it sends spans, and nothing calls itself', () => {
  const { nodes, edges } = map_of(answer([edge('shop', 'payment', 'virtual_node'), edge('shop', 'shop', 'virtual_node'), edge('shop', 'mailer', 'database')]), 20);
  assert.deepEqual(edges.map(({ from, to }) => [from, to]), [['shop', 'payment'], ['shop', 'mailer']]);
  assert.equal(nodes.size, 3);
  // A database and a service of one name, where the service sends none in this range.
  const two = map_of({ ...answer([edge('shop', 'redis', 'database'), edge('shop', 'redis', 'virtual_node')]) }, 20);
  assert.deepEqual([...two.nodes.keys()].slice(3), ['database/redis', 'outside/redis']);
});

test('counts that stand for more than was counted are sampled', () => {
  assert.equal(map_of(answer([edge('shop', 'payment', '', { count: 100 })]), 20).sampled, true);
});

test('durations of a configuration, for people', () => {
  assert.deepEqual(['336h', '24h', '47h', '48h', '90m', '1h30m', '720h0m0s', '30d', '2w', '500ms', '', 'soon', '3'].map(duration_for_people), [
    '14 d', '24 h', '47 h', '2 d', '1 h 30 min', '1 h 30 min', '30 d', '30 d', '14 d', '500 ms', '', 'soon', '3',
  ]);
  assert.deepEqual(['336h', '24h', '49h', '720h0m0s', '30d', 'x'].map(short_duration), ['14d', '24h', '49h', '30d', '30d', 'x']);
  assert.equal(duration_in('1.5h'), 5400e9);
});
