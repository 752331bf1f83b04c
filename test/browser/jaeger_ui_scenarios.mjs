// Jaeger's own UI, an unmodified build of it, over what this server answers. Builds differ in how pages look: what is looked for
// is what those from 1.73 (whose searches ask the older API) to 2.20 have.

import assert from 'node:assert/strict';
import { browse_trace, ms, random_of, shop_trace, TraceFixture } from './fixtures.mjs';
import { shot } from './lib.mjs';
import { otlp_of } from './real_server.mjs';

/** What builds say of themselves: a chart was measured before it was laid out. */
const allow = [/The width\(-1\) and height\(-1\) of chart/];
const random = random_of(1066);
const failed_id = '5cf92f3577b34da6a3ce929d0e0e4736';
const good_id = '0bf7651916cd43dd8448eb211c80319c';
const short_id = '00000000000000001111111111111111';
const unknown_id = 'e'.repeat(32);
const failed = new TraceFixture(failed_id, Date.now() - 4000, shop_trace(random, 0, { fail: true }));
failed.roots[0].links = [{ trace_id: good_id, span_id: 'b7ad6b7169203331', attributes: { reason: 'continues' } }];
failed.lay_out();
const good = new TraceFixture(good_id, Date.now() - 64_000, shop_trace(random, 0, { user: '16' }));
/** Each of its calls fails. */
const hopeless = { service: 'hopeless', name: 'GET /never', kind: 'server', start: 0, dur: 30 * ms, error: 'no' };

/** What every scenario looks at. */
export async function send_jaeger_ui_traces(server) {
  await server.send(otlp_of(failed));
  await server.send(otlp_of(good));
  await server.send(otlp_of(new TraceFixture(short_id, Date.now() - 90_000, browse_trace(random))));
  const ids = [failed_id, good_id, short_id];
  for (let i = 1; i <= 24; i++) {
    ids.push(i.toString(16).padStart(32, '7'));
    const roots = i % 4 ? shop_trace(random, 0, { user: String(5000 + i) }) : hopeless;
    await server.send(otlp_of(new TraceFixture(ids.at(-1), Date.now() - i * 100_000, roots)));
  }
  await server.seen(...ids);
}

/** The traces that a page of results leads to. */
const found = (tab) => tab.$$eval('a[href*="/jaeger/trace/"]', (links) => [...new Set(links.map((a) => /[0-9a-f]{32}/.exec(a.href)?.[0]))].filter(Boolean));

async function wait_found(tab, ids) {
  await tab.waitForFunction((wanted) => {
    const links = [...document.querySelectorAll('a[href*="/jaeger/trace/"]')].map((a) => /[0-9a-f]{32}/.exec(a.href)?.[0]);
    return [...new Set(links)].filter(Boolean).sort().join() === wanted;
  }, [...ids].sort().join()).catch(async () => assert.deepEqual(await found(tab), ids));
}

async function choose(tab, field, text) {
  await tab.click(field);
  await tab.keyboard.type(text);
  await tab.waitForSelector(`.ant-select-item-option-active >> text="${text}"`);
  await tab.keyboard.press('Enter');
}

async function open_in_jaeger(tab, url, id) {
  await tab.goto(`${url}/jaeger/trace/${id}`);
  await tab.waitForSelector('.span-row');
}

async function unfold_details(tab) {
  for (const part of await tab.$$('.detail-row [role="switch"][aria-checked="false"]')) await part.click();
}

/** Newer builds want a click, older ones a pointer above. */
async function open_view(tab, url, name) {
  await open_in_jaeger(tab, url, failed_id);
  const item = tab.locator(`.ant-dropdown >> text="${name}"`);
  await tab.hover('.AltViewOptions');
  await item.waitFor({ timeout: 1500 }).catch(() => tab.click('.AltViewOptions'));
  await item.evaluate((link) => link.click()); // it grows out of the button: a pointer could meet another one
}

const texts = (tab, selector) => tab.$$eval(selector, (all) => all.map((e) => e.textContent.trim()));
const wait_many = (tab, selector, least) => tab.waitForFunction(([s, n]) => document.querySelectorAll(s).length >= n, [selector, least]);

export const jaeger_ui_scenarios = {
  'jaeger ui: its form finds traces by service, operation, tags and duration': async ({ page, url }) => {
    const tab = await page({ allow });
    await tab.goto(`${url}/jaeger/`);
    await tab.waitForURL('**/jaeger/search**');
    await tab.waitForSelector('form .ant-select');
    await choose(tab, 'form .ant-select >> nth=0', 'frontend');
    await choose(tab, 'form .ant-select >> nth=1', 'POST /checkout');
    await tab.fill('input[name="tags"]', 'user.id=4815 http.response.status_code=502 error=true');
    await tab.fill('input[name="minDuration"]', '100ms');
    await tab.fill('input[name="maxDuration"]', '1.5s');
    await tab.click('button >> text="Find Traces"');
    await wait_found(tab, [failed_id]);
    assert.match(await tab.textContent('body'), /frontend: POST \/checkout/);
    assert.match(await tab.textContent('body'), /1 trace/i);
    await shot(tab, 'jaeger-ui-search');
    await tab.fill('input[name="tags"]', 'user.id=nobody');
    await tab.click('button >> text="Find Traces"');
    await tab.waitForSelector('text=/No trace results/i');
  },

  'jaeger ui: an address of a search shows as many as its limit': async ({ page, url }) => {
    const tab = await page({ allow });
    await tab.goto(`${url}/jaeger/search?service=frontend&lookback=1h&limit=7`);
    await tab.waitForSelector('text=/^7 traces/i');
    assert.equal((await found(tab)).length, 7);
    await tab.click('text="Deep Dependency Graph"');
    await wait_many(tab, '.DdgNodeContent--core', 4);
    await shot(tab, 'jaeger-ui-paths');
  },

  'jaeger ui: a trace with its spans, attributes, events and links': async ({ page, url }) => {
    const tab = await page({ allow, height: 1400 });
    await open_in_jaeger(tab, url, failed_id);
    await wait_many(tab, '.span-row', failed.rows.length);
    const header = await tab.textContent('.TracePageHeader');
    assert.match(header, /frontend: POST \/checkout/);
    assert.match(header, /Services6/);
    assert.match(header, new RegExp(`Total Spans${failed.rows.length}`));
    assert.deepEqual((await texts(tab, '.span-row .endpoint-name')).slice(0, 4), ['POST /checkout', 'POST /checkout', 'POST /token/verify', 'GET session']);
    await wait_many(tab, '.SpanBarRow--errorIcon', 6);
    await tab.click('.span-row .span-name >> nth=0');
    await tab.waitForSelector('.detail-row');
    await unfold_details(tab);
    const root = await tab.textContent('.detail-row');
    for (const part of ['user.id', '4815', 'http.response.status_code', '502', 'otel.status_description', 'upstream answered 502', 'host.name', 'frontend-7d9f', 'span in another trace']) {
      assert.ok(root.includes(part), `${part} in ${root}`);
    }
    await tab.click('.span-row .span-name >> nth=0');
    await tab.click('.span-row .span-name:has-text("POST bank/authorize") >> nth=0');
    await tab.waitForSelector('.detail-row');
    await unfold_details(tab);
    await unfold_details(tab); // events have parts of their own
    const call = await tab.textContent('.detail-row');
    for (const part of ['exception.type', 'java.net.SocketTimeoutException', 'BankClient.java:118', 'retry.attempt']) assert.ok(call.includes(part), `${part} in ${call}`);
    await shot(tab, 'jaeger-ui-trace');
  },

  'jaeger ui: a trace as a graph, in numbers, as a table and as flames': async ({ page, url }) => {
    const tab = await page({ allow });
    await open_view(tab, url, 'Trace Graph');
    await wait_many(tab, '.OpNode', 9);
    await shot(tab, 'jaeger-ui-graph');
    await open_view(tab, url, 'Trace Statistics');
    await tab.waitForSelector('tr:has-text("payment") >> text=/^4$/');
    await open_view(tab, url, 'Trace Spans Table');
    await tab.waitForSelector('tr:has-text("POST /token/verify")');
    await open_view(tab, url, 'Trace Flamegraph');
    await tab.waitForSelector('text=/payment: Charge/', { state: 'attached' });
    await shot(tab, 'jaeger-ui-flames');
  },

  'jaeger ui: two traces compared': async ({ page, url }) => {
    const tab = await page({ allow });
    await tab.goto(`${url}/jaeger/trace/${failed_id}...${good_id}`);
    await wait_many(tab, '.DiffNode', 10);
    assert.ok((await texts(tab, '.DiffNode')).some((text) => text.includes('GetQuote')), 'what only one has');
    await shot(tab, 'jaeger-ui-compare');
  },

  'jaeger ui: traces are looked up by their ids': async ({ page, url }) => {
    const tab = await page({ allow: [...allow, /status of 404/] });
    await tab.goto(`${url}/jaeger/search`);
    const box = 'input[placeholder*="Trace ID"]';
    await tab.fill(box, good_id);
    await tab.press(box, 'Enter');
    await tab.waitForURL(`**/jaeger/trace/${good_id}`);
    await tab.waitForSelector('.span-row >> text="GetQuote"');
    await open_in_jaeger(tab, url, '1111111111111111');
    await tab.waitForSelector('.span-row >> text="recommend"');
    await tab.goto(`${url}/jaeger/trace/${unknown_id}`);
    await tab.waitForSelector('text=/not found/i');
    await shot(tab, 'jaeger-ui-unknown');
    tab.problems = tab.problems.filter((problem) => !problem.startsWith('thrown: Error: HTTP Error: trace not found')); // as older builds do
  },

  'jaeger ui: its archive pins a trace': async ({ page, url }) => {
    const tab = await page({ allow });
    await open_in_jaeger(tab, url, good_id);
    const archived = tab.waitForResponse((response) => response.url().includes('/api/archive/') && response.request().method() === 'POST');
    await tab.click('text="Archive Trace"');
    assert.equal((await archived).status(), 200);
    await shot(tab, 'jaeger-ui-archive');
    const { pins } = await (await fetch(`${url}/api/keep/pins`)).json();
    assert.deepEqual(pins.map((pin) => pin.trace_id), [good_id]);
  },

  'jaeger ui: which services call which': async ({ page, url }) => {
    const tab = await page({ allow });
    await tab.goto(`${url}/jaeger/dependencies`);
    await tab.waitForSelector('text="recommend"');
    const answer = await (await fetch(`${url}/jaeger/api/dependencies?endTs=${Date.now()}&lookback=3600000`)).json();
    const calls = answer.data.find(({ parent, child }) => parent === 'frontend' && child === 'checkout').callCount;
    assert.equal(calls, 20);
    await tab.waitForSelector(`text="${calls}"`);
    await shot(tab, 'jaeger-ui-dependencies');
  },

  'jaeger ui: Monitor has rates, errors and durations': async ({ page, url }) => {
    const tab = await page({ allow });
    await tab.goto(`${url}/jaeger/monitor`);
    await choose(tab, '.select-a-service-input', 'hopeless');
    const row = await (await tab.waitForSelector('tr:has-text("GET /never")')).textContent();
    // Every call took 30 ms and failed. Its page averages over the points of the curves.
    const [, milliseconds, share] = /([\d.]+)ms.*?([\d.]+)%/.exec(row) ?? assert.fail(row);
    assert.ok(Math.abs(Number(milliseconds) - 30) < 1.5, row);
    assert.equal(Number(share), 100, row);
    await wait_many(tab, '.recharts-line, .recharts-area, .rv-xy-plot__series', 3);
    await shot(tab, 'jaeger-ui-monitor');
  },
};
