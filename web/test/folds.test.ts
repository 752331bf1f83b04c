import assert from 'node:assert/strict';
import { test } from 'node:test';
import { read_folds, write_folds } from '../src/model/folds.ts';
import { decode_skeleton } from '../src/model/slt1.ts';
import { collapse_below, first_folds, Trace } from '../src/model/trace.ts';
import { large_root, make_fixtures, random_of, TraceFixture } from '../../test/browser/fixtures.mjs';
import { encode_slt1 } from '../../test/browser/slt1_encode.mjs';

function trace_of(fixture: TraceFixture): Trace {
  return new Trace(decode_skeleton(encode_slt1(fixture.header(-1), fixture.rows).buffer as ArrayBuffer));
}

const shop = trace_of(make_fixtures(1763830000000).special.get('shop') as TraceFixture);
const large = trace_of(new TraceFixture('00'.repeat(16), 0, large_root(20_000, random_of(5))));

test('usual folds are a letter, those of the start nothing', () => {
  for (const trace of [shop, large]) {
    assert.equal(write_folds(trace, first_folds(trace)), '');
    assert.equal(write_folds(trace, new Uint8Array(trace.n)).length, 1);
    for (const depth of [0, 1, 2]) assert.ok(write_folds(trace, collapse_below(trace, depth)).length <= 1);
  }
});

test('whatever is folded by hand comes back', () => {
  const random = random_of(11);
  for (const trace of [shop, large]) {
    const foldable = Array.from({ length: trace.n }, (_, row) => row).filter((row) => trace.foldable(row));
    for (let round = 0; round < 40; round++) {
      const folds = [first_folds(trace), new Uint8Array(trace.n), collapse_below(trace, 1)][round % 3];
      for (let i = 0; i < round; i++) {
        const row = foldable[Math.floor(random() * foldable.length)];
        folds[row] = folds[row] ? 0 : 1;
      }
      const text = write_folds(trace, folds);
      assert.match(text, /^[\w-]*$/);
      assert.ok(text.length < 1_600);
      assert.deepEqual(text ? read_folds(trace, text) : first_folds(trace), folds);
    }
  }
});

test('too many for an address are left out, and a text of another trace is none', () => {
  const folds = first_folds(large);
  const random = random_of(2);
  for (let row = 0; row < large.n; row++) if (large.foldable(row) && random() < 0.5) folds[row] = folds[row] ? 0 : 1;
  assert.equal(write_folds(large, folds), '');
  for (const text of ['x', 'f!', 'f_____w', 'f____________', `f${'AAAA'.repeat(200)}`]) assert.equal(read_folds(shop, text), null, text);
});
