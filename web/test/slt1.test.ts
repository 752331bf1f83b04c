import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode_skeleton, SkeletonError } from '../src/model/slt1.ts';
import { encode_slt1 } from '../../test/browser/slt1_encode.mjs';
import { random_of } from '../../test/browser/fixtures.mjs';

interface Row {
  start: number;
  dur: number;
  up: number;
  name: number;
  res: number;
  flags: number;
}

const head = {
  traceId: 'ab'.repeat(16), t0: '1763830000000000123', dur: 1000, services: ['a', 'b'], names: ['x', 'y', 'ünï'],
  resources: [{ service: 0, label: 'a-1' }, { service: 1, label: 'b-1' }],
};

function random_rows(count: number, seed: number, most: number, negative: boolean): Row[] {
  const random = random_of(seed);
  return Array.from({ length: count }, (_, i) => ({
    start: Math.floor(random() * most) - (negative && random() < 0.3 ? Math.floor(most / 3) : 0),
    dur: Math.floor(random() * most), up: i === 0 ? 0 : Math.floor(random() * (i + 1)),
    name: Math.floor(random() * 3), res: Math.floor(random() * 2), flags: Math.floor(random() * 4096),
  }));
}

function check(rows: Row[], shuffle: boolean): void {
  const skeleton = decode_skeleton(encode_slt1(head, rows, { shuffle }).buffer as ArrayBuffer);
  assert.equal(skeleton.header.n, rows.length);
  assert.deepEqual(skeleton.header.names, head.names);
  rows.forEach((row, i) => {
    assert.equal(skeleton.start[i], row.start, `start of row ${i}`);
    assert.equal(skeleton.dur[i], row.dur, `dur of row ${i}`);
    assert.equal(skeleton.up[i], row.up);
    assert.equal(skeleton.name[i], row.name);
    assert.equal(skeleton.res[i], row.res);
    assert.equal(skeleton.flags[i], row.flags);
  });
}

for (const shuffle of [true, false]) {
  for (const [most, what] of [[1e6, 'short'], [2 ** 31, 'at the edge of 31 bits'], [2 ** 39, 'minutes'], [2 ** 46, 'a day']] as const) {
    for (const negative of [false, true]) {
      test(`rows come back equal: ${what}${negative ? ', some before their parents' : ''}, ${shuffle ? 'shuffled' : 'raw'}`, () => {
        for (let seed = 1; seed <= 10; seed++) check(random_rows(1 + seed * 13, seed, most, negative), shuffle);
      });
    }
  }
}

test('a trace without spans decodes', () => check([], true));

test('every cut of an answer is refused with a sentence, never with a crash', () => {
  const bytes = encode_slt1(head, random_rows(20, 3, 1e6, false));
  for (let length = 0; length < bytes.length - 8; length++) {
    assert.throws(() => decode_skeleton(bytes.slice(0, length).buffer as ArrayBuffer), SkeletonError, `cut at ${length}`);
  }
});

test('values outside their lists are refused', () => {
  const row = { start: 0, dur: 1, up: 0, name: 0, res: 0, flags: 0 };
  for (const bad of [{ ...row, up: 1 }, { ...row, name: 3 }, { ...row, res: 2 }]) {
    assert.throws(() => decode_skeleton(encode_slt1(head, [bad]).buffer as ArrayBuffer), SkeletonError);
  }
});
