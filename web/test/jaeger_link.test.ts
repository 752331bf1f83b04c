import assert from 'node:assert/strict';
import { test } from 'node:test';
import { from_jaeger } from '../src/model/jaeger_link.ts';

const place_of = (url: string): [string, URLSearchParams] => {
  const at = new URL(url, 'http://jaeger');
  return [at.pathname, at.searchParams];
};
const shown = (url: string): { path: string; [key: string]: string } | null => {
  const link = from_jaeger(...place_of(url));
  if (link === null) return null;
  const [path, params] = place_of(link);
  return { path, ...Object.fromEntries(params) };
};

test('a search of Jaeger with everything in its form becomes a query over the same time', () => {
  const tags = encodeURIComponent('{"http.status_code":"500","error":"true","span.kind":"server","user":"a \\"b\\""}');
  assert.deepEqual(shown(`/search?end=1763830800000000&limit=20&lookback=1h&maxDuration=2s&minDuration=1.2ms&operation=GET%20%2Fcart&service=shop%20front&start=1763827200000000&tags=${tags}`), {
    path: '/search', from: '1763827200000000000', to: '1763830800000000000',
    q: '{ resource.service.name = "shop front" && name = "GET /cart" && (.http.status_code = 500 || .http.status_code = "500") && status = error && kind = server && .user = "a \\"b\\"" && duration >= 1.2ms && duration <= 2s }',
  });
});

test('what a link leaves out, or has wrong, is left out', () => {
  assert.deepEqual(shown('/search?service=cart&operation=all&lookback=2d&tags=%7Bbroken&maxDuration=&minDuration=soon'), { path: '/search', q: '{ resource.service.name = "cart" }', from: 'now-2d' });
  assert.deepEqual(shown('/search?service=cart&lookback=custom&start=x&end=1763830800000000'), { path: '/search', q: '{ resource.service.name = "cart" }' });
  assert.deepEqual(shown('/search?tag=db.system:redis&tag=nothing'), { path: '/search', q: '{ .db.system = "redis" }' });
  assert.deepEqual(shown('/search?traceID=ABC&traceID=0af7651916cd43dd8448eb211c80319c'), { path: '/search', q: `{ trace:id = "${'abc'.padStart(32, '0')}" || trace:id = "0af7651916cd43dd8448eb211c80319c" }` });
  assert.deepEqual(shown('/search?limit=20'), { path: '/search' });
});

test('traces, comparisons, dependencies and the monitor have their pages', () => {
  assert.deepEqual(shown('/trace/4d5?uiFind=redis&v=flame'), { path: '/trace/4d5', find: 'redis', v: 'flame' });
  assert.deepEqual(shown('/trace/0af7651916cd43dd8448eb211c80319c...4D5'), { path: '/compare', a: '0af7651916cd43dd8448eb211c80319c', b: '4d5'.padStart(32, '0') });
  assert.deepEqual(shown('/dependencies'), { path: '/map' });
  assert.deepEqual(shown('/monitor?service=a%2Fb'), { path: '/service/a%2Fb' });
  assert.deepEqual(shown('/monitor'), { path: '/' });
});

test('addresses of our own stay', () => {
  for (const own of ['/search?q=%7B%7D&sort=-dur', '/search?q=%7B%7D&service=x', '/search', '/trace/4d5?find=x', '/map?focus=a', '/']) assert.equal(shown(own), null, own);
});
