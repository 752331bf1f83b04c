// The true path, in order: an empty server, a first trace over OTLP, then every page on it.

import assert from 'node:assert/strict';
import { browse_trace, hostile_text, ms, random_of, shop_trace, TraceFixture } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, open_trace, row_labels, shot, wait_selected } from './lib.mjs';
import { otlp_of } from './real_server.mjs';

const random = random_of(4815);
const shop_id = '4bf92f3577b34da6a3ce929d0e0e4736';
const hostile_id = '0af7651916cd43dd8448eb211c80319c';
const shop = new TraceFixture(shop_id, Date.now() - 4000, shop_trace(random, 0, { fail: true, user: '4815' }));
shop.roots[0].links = [{ trace_id: hostile_id, span_id: 'b7ad6b7169203331', attributes: { reason: 'continues' } }];
shop.lay_out();
const themes = ['light', 'dark'];

export const server_scenarios = {
  'server: an empty install becomes its first trace by itself': async ({ page, server, url }) => {
    const tab = await page();
    await tab.goto(url);
    await tab.waitForSelector('text=No spans yet');
    await tab.waitForSelector(`text=${server.otlp}`);
    await check_accessibility(tab, 'welcome');
    await shot(tab, 'server-welcome-light');
    await server.send(otlp_of(shop));
    await tab.waitForURL(`**/trace/${shop_id}**`);
    await tab.waitForSelector('.wf-row.selected');
    await shot(tab, 'server-first-trace-light');
    await tab.click('.toolbar >> text=Unfold all');
    await tab.waitForSelector('.toolbar button:disabled >> text=Unfold all');
    const labels = await row_labels(tab);
    assert.equal(labels.length, shop.rows.length);
    assert.match(labels[0], /^frontend POST \/checkout, .*error, 1 child$/);
  },

  'server: home shows the services, the failing ones first': async ({ page, server, url }) => {
    const ids = [];
    for (let i = 0; i < 40; i++) {
      const fail = i % 8 === 3;
      const roots = i % 3 ? shop_trace(random, 0, { fail, user: String(4000 + i) }) : browse_trace(random);
      const id = (BigInt(i + 1) * 0x9e3779b97f4a7c15f39cc0605cedc835n).toString(16).slice(-32).padStart(32, '1');
      await server.send(otlp_of(new TraceFixture(id, Date.now() - 20_000 - i * 61_000, roots)));
      ids.push(id);
    }
    await server.seen(...ids);
    for (const theme of themes) {
      const tab = await page({ theme });
      await tab.goto(url);
      await tab.waitForSelector('.services-table tbody tr');
      await tab.waitForFunction(() => document.querySelectorAll('.newest-errors li').length > 0);
      const names = await tab.$$eval('.services-table tbody .service-name', (cells) => cells.map((c) => c.textContent));
      for (const name of ['frontend', 'checkout', 'payment', 'cart']) assert.ok(names.includes(name), `${name} in ${names}`);
      await tab.waitForSelector('.health-state.ok');
      await check_accessibility(tab, `home, ${theme}`);
      await shot(tab, `server-home-${theme}`);
    }
  },

  'server: the order of results is over all that is found': async ({ page, url }) => {
    const tab = await page();
    const first = async (sort) => {
      await tab.goto(`${url}/search?v=list&sort=${sort}`);
      await tab.waitForSelector('.result-spans');
      return Number((await tab.textContent('.result-spans')).replaceAll(',', '').match(/^\d+/)[0]);
    };
    const answer = await fetch(`${url}/api/ui/v1/search`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ q: '{ }', from: null, to: null, limit: 1000 }) });
    const spans = (await answer.text()).trim().split('\n').map((line) => JSON.parse(line)).filter((line) => line.trace).map((line) => line.trace.spans);
    assert.ok(spans.length > 10);
    assert.equal(await first('-spans'), Math.max(...spans));
    assert.equal(await first('spans'), Math.min(...spans));
  },

  'server: the request of user 4815 is found, opened and walked by keyboard': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.result');
    await tab.keyboard.press('/');
    await tab.keyboard.type('{ .user.id = "4815" }');
    await tab.keyboard.press('Enter');
    await tab.waitForFunction(() => document.querySelectorAll('.result').length === 1);
    assert.match(await tab.$eval('.result', (e) => e.textContent), /frontend.*POST \/checkout.*6 errors/);
    await check_accessibility(tab, 'search');
    await shot(tab, 'server-search-light');
    await tab.focus('.result-link');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.wf-row.selected');
    await tab.keyboard.press('j');
    await wait_selected(tab, /^checkout POST \/checkout/);
    for (let i = 0; i < 3; i++) await tab.keyboard.press('e');
    await wait_selected(tab, /^payment POST bank\/authorize, .*error/);
    await tab.waitForSelector('.exception-type >> text=java.net.SocketTimeoutException');
    await tab.waitForSelector('.stack pre >> text=BankClient.authorize');
    await tab.waitForFunction(() => /span=[0-9a-f]{16}/.test(location.search));
    for (const theme of themes) {
      await tab.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await tab.waitForFunction((want) => document.documentElement.dataset.theme === want, theme);
      await check_accessibility(tab, `trace, ${theme}`);
      await shot(tab, `server-trace-${theme}`);
    }
    await tab.goBack();
    await tab.waitForSelector('.result');
    assert.match(tab.url(), /4815/);
    assert.equal((await tab.$$('.result')).length, 1);
  },

  'server: a deep link opens its span with every ancestor, and links lead on': async ({ page, url }) => {
    const row = shop.spans.findIndex(({ span }) => span.name === 'Score');
    const tab = await page();
    await open_trace(tab, `${url}/trace/${shop_id}?span=${shop.span_id(row)}`);
    await wait_selected(tab, /^fraud Score/);
    await tab.waitForSelector(`.detail .mono >> text=${shop.span_id(row)}`);
    await open_trace(tab, `${url}/trace/${shop_id}?span=${shop.span_id(0)}`);
    await tab.waitForSelector(`.links a[href="/trace/${hostile_id}?span=b7ad6b7169203331"]`);
    const values = await tab.$$eval('.attributes tr', (lines) => lines.map((l) => l.textContent));
    assert.ok(values.some((v) => v.includes('user.id') && v.includes('4815')));
    assert.ok(values.some((v) => v.includes('http.response.status_code') && v.includes('502')));
  },

  'server: a link is found from its other end, text inside attributes, what is usual': async ({ page, server, url }) => {
    const linking_id = '5eed5eed5eed5eed5eed5eed5eed5eed';
    const charge = shop.spans.findIndex(({ span }) => span.name === 'Charge');
    const linking = new TraceFixture(linking_id, Date.now() - 1000, { service: 'refund', name: 'Refund', kind: 'consumer', start: 0, dur: 5 * ms, links: [{ trace_id: shop_id, span_id: shop.span_id(charge), attributes: {} }] });
    await server.send(otlp_of(linking));
    await server.seen(linking_id);
    const tab = await page();
    await open_trace(tab, `${url}/trace/${shop_id}?span=${shop.span_id(charge)}`);
    await tab.click('text=Which spans link to this one?');
    await tab.waitForSelector('.linked-from a >> text=Refund');
    await tab.waitForSelector('.usual >> text=/p50 .* p95/');
    await tab.keyboard.press('/');
    await tab.keyboard.type('java.net.sockettimeout');
    await tab.waitForSelector('.find-count >> text=/ 3');
    await tab.click('.linked-from a');
    await tab.waitForURL(`**/trace/${linking_id}?span=*`);
    await tab.waitForSelector(`.links a[href="/trace/${shop_id}?span=${shop.span_id(charge)}"]`);
  },

  'server: pins, settings, sampling; every page after a reload': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, `${url}/trace/${shop_id}`);
    await tab.click('.pin-button');
    await tab.waitForSelector('.pin-button[aria-pressed=true]');
    await tab.goto(url);
    await tab.click('section[aria-labelledby=pinned-title] a');
    await tab.waitForSelector('.pin-button[aria-pressed=true]');
    await tab.click('.pin-button');
    await tab.waitForSelector('.pin-button[aria-pressed=false]');
    await tab.goto(`${url}/settings`);
    await tab.waitForSelector('.in-force tbody tr');
    const rows = await tab.$$eval('.in-force tbody tr', (all) => all.map((row) => row.textContent));
    assert.ok(rows.some((text) => text.includes('listen.http') && text.includes('127.0.0.1:') && text.includes('set')));
    assert.ok(rows.some((text) => text.includes('retention.disk_used_max') && text.includes('0.8')));
    await tab.waitForSelector('.meter');
    await check_accessibility(tab, 'settings');
    await shot(tab, 'server-settings-light');
    await tab.goto(`${url}/sampling`);
    await tab.waitForSelector('.rules tbody tr');
    await shot(tab, 'server-sampling-light');
    for (const [path, ready] of [['/service/payment', '.lines a'], ['/map', '.graph .node'], ['/errors', '.sums tbody tr'], ['/databases', '.statements tbody tr'], ['/file', 'text=Choose a file'], ['/compare', '.choose'], ['/live', 'text=Following']]) {
      await tab.goto(url + path);
      await tab.reload();
      await tab.waitForSelector(ready);
      await shot(tab, `server${path.replaceAll('/', '-')}-light`);
    }
  },

  'server: the map has databases, who calls from outside, and is asked for around one of them': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/map`);
    await tab.waitForSelector('.graph .node.of-database');
    const edges = await tab.$$eval('.sums tbody tr', (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
    for (const [from, to] of [['user outside', 'frontend'], ['checkout', 'payment'], ['catalog', 'postgresql database']]) {
      assert.ok(edges.some(([a, b, calls]) => a === from && b === to && calls !== '0'), `${from} → ${to} in ${edges.map((e) => e.slice(0, 2).join(' → '))}`);
    }
    assert.equal(await tab.$('text=estimates'), null, 'every span stands for itself');
    await check_accessibility(tab, 'the map of a server');
    await tab.click('.sums td a:text-is("postgresql")');
    await tab.waitForFunction(() => [...document.querySelectorAll('.sums tbody tr')].every((row) => row.cells[1].textContent.includes('database')));
    assert.match(tab.url(), /focus=database%2Fpostgresql/);
  },

  'server: keep rules are tried, saved and given up; a pin is the server’s; why': async ({ page, server, url }) => {
    const alike = Array.from({ length: 5 }, (_, i) => new TraceFixture(`5a${i}`.padEnd(32, '7'), Date.now() - 9000 - i * 1000, browse_trace(random)));
    for (const trace of [shop, ...alike]) await server.send(otlp_of(trace));
    await server.seen(shop_id, ...alike.map((trace) => trace.id));
    const keep = async (path) => (await fetch(`${url}/api/keep/${path}`)).json();
    const tab = await page({ allow: [/status of 40[04]/] });
    await tab.goto(`${url}/sampling?edit=form`);
    await tab.waitForSelector('text=by default: nobody has set others');
    await tab.fill('fieldset:nth-of-type(1) label:nth-child(2) input', '{ status = }');
    await tab.click('.edit-buttons >> text=Preview');
    await tab.waitForSelector('.field-problem');
    assert.match(await tab.textContent('.field-problem'), /\n {11}\^/, 'the mark is at the brace');
    await tab.fill('fieldset:nth-of-type(1) label:nth-child(2) input', '{ status = error }');
    await tab.fill('fieldset:nth-of-type(1) label:nth-child(6) input', '30d');
    await tab.click('[aria-label="Remove rest"]');
    await tab.click('.edit-buttons >> text=Preview');
    await tab.waitForSelector('.preview tbody tr >> text=no rule matches');
    await check_accessibility(tab, 'a preview of the server');
    await shot(tab, 'server-sampling-preview-light');
    assert.equal((await keep('rules')).source, 'default', 'nothing was changed');
    await tab.click('.edit-buttons >> text=Save');
    await tab.waitForSelector('text=saved here, version 1');
    assert.deepEqual((await keep('rules')).rules.keep.map((rule) => [rule.name, rule.for]), [['errors', '30d'], ['slow', undefined]]);
    await tab.click('text=Back to the configuration');
    await tab.click('text=Give them up');
    await tab.waitForSelector('text=by default: nobody has set others');

    await open_trace(tab, `${url}/trace/${shop_id}`);
    await tab.click('.pin-button');
    await tab.waitForSelector('.trace-facts >> text=kept for ever');
    assert.deepEqual((await keep('pins')).pins.map((pin) => pin.trace_id), [shop_id]);
    await tab.click('.trace-facts >> text=kept for ever');
    await tab.waitForSelector('#why-panel >> text=It is pinned: it stays for ever.');
    await check_accessibility(tab, 'why, by the server');
    await shot(tab, 'server-trace-why-light');
    await tab.click('.pin-button');
    await tab.waitForSelector('.trace-facts >> text=recent, not decided yet');
    assert.deepEqual((await keep('pins')).pins, []);
    await tab.goto(`${url}/trace/${'ab'.repeat(16)}`);
    await tab.waitForSelector('text=No rule has dropped it: no trace was dropped yet.');
  },

  'server: groups beside each other, a trace beside its endpoint': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/compare?${new URLSearchParams({ a: '{ name = "Charge" && status != error }', b: '{ name = "Charge" && status = error }' })}`);
    await tab.waitForSelector('[aria-label="More frequent in the second"] tbody tr');
    assert.match(await tab.textContent('[aria-label="More frequent in the second"] tbody'), /status\s*=\s*error/);
    await check_accessibility(tab, 'groups');
    await shot(tab, 'server-compare-groups-light');
    await open_trace(tab, `${url}/trace/${shop_id}`);
    await tab.click('text=With its usual');
    await tab.waitForSelector('.sums tbody tr');
    assert.match(await tab.textContent('.sides'), /\d+ traces with a root/);
    await check_accessibility(tab, 'beside its endpoint');
    await shot(tab, 'server-compare-usual-light');
  },

  'server: a query error is shown with its place': async ({ page, url }) => {
    const tab = await page({ allow: [/status of 400/] });
    await tab.goto(`${url}/search?q=${encodeURIComponent('{ duration > }')}`);
    await tab.waitForSelector('.query-problem');
    await check_accessibility(tab, 'query error');
    await shot(tab, 'server-query-error-light');
  },

  'server: hostile text in every field stays text': async ({ page, server, url }) => {
    const spans = hostile_text.map((text, i) => ({
      service: text.slice(0, 200) || 'x', name: text, start: i * ms, dur: 2 * ms, error: text, attributes: { [text.slice(0, 100)]: text },
      events: [{ name: 'exception', at: 1, attributes: { 'exception.type': text, 'exception.message': text, 'exception.stacktrace': text } }, { name: text, at: 2, attributes: { text } }],
      links: [{ trace_id: shop_id, span_id: 'b7ad6b7169203331', attributes: { text } }],
    }));
    await server.send(otlp_of(new TraceFixture(hostile_id, Date.now() - 2000, { service: hostile_text[0], name: hostile_text[6], start: 0, dur: 40 * ms, children: spans })));
    await server.seen(hostile_id);
    const tab = await page();
    await tab.goto(`${url}/search?q=${encodeURIComponent(`{ name =~ ".*hacked.*" }`)}`);
    await tab.waitForSelector('.result');
    await open_trace(tab, `${url}/trace/${hostile_id}`);
    for (let i = 0; i < hostile_text.length; i++) {
      await tab.keyboard.press('j');
      await tab.waitForFunction(() => document.querySelector('.detail-body:not(.stale) .exception'));
    }
    assert.equal(await tab.evaluate(() => window.hacked), undefined);
    await shot(tab, 'server-hostile-light');
  },

  'server: every page fits a phone of 320 pixels': async ({ page, url }) => {
    const tab = await page({ width: 320, height: 700 });
    for (const [name, path, ready] of [
      ['home', '/', '.services-table tbody tr'], ['search', '/search', '.result'], ['trace', `/trace/${shop_id}`, '.wf-row.selected'], ['welcome', '/welcome', '.snippet'],
    ]) {
      await tab.goto(url + path);
      await tab.waitForSelector(ready);
      await check_no_overflow(tab, name);
      await check_accessibility(tab, `${name} on a phone`);
      await shot(tab, `server-phone-${name}`);
    }
  },
};
