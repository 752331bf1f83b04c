// What a trace tells beside its spans: clocks, what is usual, pins, links out and in; settings and sampling.

import assert from 'node:assert/strict';
import { named_id } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, kColours, open_trace, row_labels, shot, wait_selected } from './lib.mjs';

const themes = ['light', 'dark'];
const trace_path = (name, query = '') => `/trace/${named_id(name)}${query}`;

export const story_scenarios = {
  'clocks: shown as sent, corrected on demand, with the amount, in the URL': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('broken'));
    const start = () => tab.evaluate(() => window.spanloom_waterfall.bars().map((bar) => Math.round(bar.x)));
    await tab.waitForSelector('.clocks >> text=/clock on clock-7d9f by 2\\d\\d ms/');
    const sent = await start();
    await tab.focus('.clocks button:last-of-type');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.clocks >> text=Shown with corrected clocks');
    await tab.waitForFunction(() => location.search.includes('clocks=corrected'));
    assert.notDeepEqual(await start(), sent);
    const row = (await row_labels(tab)).findIndex((label) => label.startsWith('clock '));
    await tab.focus('.wf-scroll');
    for (let i = 0; i < row; i++) await tab.keyboard.press('j');
    await wait_selected(tab, /^clock ahead/);
    await tab.waitForSelector('.facts >> text=later than it was sent');
    await check_accessibility(tab, 'corrected clocks');
    await shot(tab, 'trace-clocks-light');
    await tab.reload();
    await tab.waitForSelector('.clocks >> text=Shown with corrected clocks');
    await tab.click('.clocks >> text=Show times as sent');
    await tab.waitForFunction(() => !location.search.includes('clocks'));
    await wait_selected(tab, /^clock ahead/);
  },

  'usual: beside the duration of a span and of each operation': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    await tab.waitForSelector('.usual >> text=× the usual p95');
    await tab.keyboard.press('4');
    await tab.click('.sort >> text=Usual p50');
    const [first] = await tab.$$eval('.sums tbody tr', (rows) => rows.map((row) => row.textContent));
    assert.match(first, /✕/);
    await tab.click('text=With its usual');
    await tab.waitForSelector('.sums tbody tr');
    assert.match(await tab.inputValue('.choose label:nth-child(2) input'), /rootName = "POST \/checkout"/);
  },

  'find: in attributes and events, which only the server has': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    await tab.keyboard.press('/');
    await tab.keyboard.type('sockettimeout');
    await tab.waitForSelector('.find-count >> text=/ 3');
    await tab.keyboard.press('Enter');
    await wait_selected(tab, /^payment POST bank/);
  },

  'attributes: from a value to the traces with it, and to those with another': async ({ page, url }) => {
    const tab = await page();
    for (const [link, operator, is_there] of [['has this value', '=', true], ['has another value', '!=', false]]) {
      await open_trace(tab, url + trace_path('shop'));
      await tab.click(`.detail [aria-label="Find traces where user.id ${link}"]`);
      await tab.waitForSelector('.result');
      assert.equal(new URL(tab.url()).searchParams.get('q'), `{ span.user.id ${operator} "4815" }`);
      await tab.waitForFunction(() => !document.querySelector('.outcome[aria-busy=true]'));
      assert.equal((await tab.$$(`.result-link[href="${trace_path('shop')}"]`)).length > 0, is_there);
    }
    // Within the last search: another value joins what was asked before.
    await tab.goto(`${url}/search?${new URLSearchParams({ q: '{ status = error }' })}`);
    await tab.waitForSelector('.result');
    await tab.click('.result-link');
    await tab.waitForSelector('.wf-row.selected');
    await tab.click('.detail [aria-label$="http.route has another value"]');
    await tab.waitForFunction(() => /^\{ status = error && span\.http\.route != ".*" \}$/.test(new URLSearchParams(location.search).get('q')));
  },

  'pins: kept on the server, on Home and in the palette, and let go': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    await tab.focus('.pin-button');
    assert.match(await tab.getAttribute('.pin-button', 'title'), /Keeps this trace for ever/);
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.pin-button[aria-pressed=true]');
    const other = await page({ theme: 'dark' });
    await other.goto(url);
    await other.waitForSelector('section[aria-labelledby=pinned-title] li');
    await check_accessibility(other, 'home with a pin');
    await shot(other, 'home-pinned-dark');
    await other.keyboard.press('Control+k');
    await other.keyboard.type('pinned');
    await other.waitForSelector('[role=option][aria-selected=true] >> text=pinned trace');
    await other.keyboard.press('Enter');
    await other.waitForSelector('.pin-button[aria-pressed=true]');
    await other.click('.pin-button');
    await other.waitForSelector('.pin-button[aria-pressed=false]');
    await tab.goto(url);
    await tab.waitForSelector('.newest-errors li');
    assert.equal(await tab.$('section[aria-labelledby=pinned-title]'), null);
  },

  'links out: only http and https, only whole, filled from the span, and gone when removed': async ({ page, url, mock }) => {
    const tab = await page();
    await tab.goto(`${url}/settings`);
    await tab.waitForSelector('.in-force tbody tr');
    await tab.fill('.choose label:nth-child(1) input', 'Logs');
    for (const [address, words] of [['javascript:alert(1)', /http/], ['https://{host.name}/x', /written out/], ['https://a:b@logs.example/', /password/], ['logs', /whole address/]]) {
      await tab.fill('.choose .grow input', address);
      await tab.waitForFunction((source) => new RegExp(source).test(document.querySelector('#link-problem').textContent), words.source);
      assert.ok(await tab.isDisabled('.choose button[type=submit]'));
    }
    await tab.fill('.choose .grow input', 'https://logs.example/find?q={trace}&user={user.id}&service={service}');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.links-table >> text=Logs');
    await check_accessibility(tab, 'settings with a link');
    // What others wrote into the document without this page is not trusted either.
    const stored = JSON.parse(mock.documents.get('settings/links').body);
    mock.documents.set('settings/links', { body: JSON.stringify([...stored, { name: 'bad', url: 'javascript:alert({trace})' }]), version: 9 });
    await tab.goto(url + trace_path('shop'));
    await tab.waitForSelector('.links-out a');
    assert.deepEqual(await tab.$$eval('.links-out a', (all) => all.map((a) => [a.href, a.rel])), [[`https://logs.example/find?q=${named_id('shop')}&user=4815&service=frontend`, 'noopener noreferrer']]);
    await tab.keyboard.press('End'); // a span without a user
    await tab.waitForSelector('.links-out', { state: 'detached' });
    await tab.goto(`${url}/settings`);
    await tab.click('[aria-label="Remove Logs"]');
    await tab.waitForSelector('.links-table', { state: 'detached' });
  },

  'settings: what is in force, secrets hidden, what this browser prefers is kept': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/settings`);
    await tab.waitForSelector('.in-force tbody tr');
    const rows = await tab.$$eval('.in-force tbody tr', (all) => all.map((row) => row.textContent));
    assert.ok(rows.some((text) => text.includes('retention.for') && text.includes('336h')));
    assert.ok(rows.some((text) => text.includes('auth.token') && text.includes('(hidden)')));
    await tab.check('.card .muted .check input');
    assert.equal((await tab.$$('.in-force tbody tr')).length, 2);
    await tab.selectOption('.choices label:nth-child(2) select', 'high');
    await tab.selectOption('.choices label:nth-child(3) select', 'utc');
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.picker >> text=UTC');
    assert.equal(await tab.evaluate(() => document.documentElement.dataset.contrast), 'high');
  },

  'sampling: how long what is kept stays, and what spans stand for': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/sampling`);
    await tab.waitForSelector('text=What rules keep stays for 14 d');
    await tab.waitForSelector('.stand-for tbody tr');
    assert.deepEqual(await tab.$$eval('.stand-for tbody tr', (rows) => rows.map((row) => row.textContent)), ['catalog1 in 13 3,00040 k'.replace('13 3', '133').replace('40 k', '~40 k')]);
  },

  'contrast: every page and view, high, in both themes': async ({ page, url }) => {
    const places = [
      ['home', '/', '.newest-errors li'], ['search', '/search', '.facets .facet'], ['trace', trace_path('shop'), '.usual'], ['flame', trace_path('shop', '?v=flame'), '.flame-canvas'],
      ['table', trace_path('shop', '?v=table'), '.sums tbody tr'], ['graph', trace_path('shop', '?v=graph'), '.graph .node'], ['log', trace_path('shop', '?v=log'), '.log tbody tr'], ['service', '/service/payment', '.lines'],
      ['map', '/map', '.graph .node'], ['errors', '/errors', '.sums tbody tr'], ['databases', '/databases', '.sums tbody tr'], ['settings', '/settings', '.in-force tbody tr'], ['sampling', '/sampling', '.sums tbody tr'],
      ['compare', `/compare?a=${named_id('shop')}&b=${named_id('broken')}`, '.sums tbody tr'], ['live', '/live', 'text=Following'], ['welcome', '/welcome', '.snippet'],
    ];
    for (const theme of themes) {
      const tab = await page({ theme, contrast: 'more' });
      for (const [name, path, ready] of places) {
        await tab.goto(url + path);
        await tab.waitForSelector(ready);
        assert.equal(await tab.evaluate(() => document.documentElement.dataset.contrast), 'high');
        await check_accessibility(tab, `${name}, ${theme}, high contrast`, kColours);
        if (['home', 'trace', 'search'].includes(name)) await shot(tab, `contrast-${name}-${theme}`);
      }
    }
  },

  'new parts stay within 320 pixels': async ({ page, url, mock }) => {
    mock.keep.pins = [{ trace_id: named_id('shop'), at: mock.keep.ns(4000), by: '', reason: '' }];
    mock.documents.set(`pins/${named_id('shop')}`, { body: JSON.stringify({ trace: named_id('shop'), service: 'frontend', name: 'POST /checkout', start_ms: Date.now() - 5000, duration_ns: 5e8, errors: 6 }), version: 1 });
    const tab = await page({ width: 320, height: 700 });
    for (const [name, path, ready] of [['home', '/', 'section[aria-labelledby=pinned-title] li'], ['clocks', trace_path('broken', '?clocks=corrected'), '.clocks'], ['settings', '/settings', '.in-force tbody tr'], ['sampling', '/sampling', '.prose']]) {
      await tab.goto(url + path);
      await tab.waitForSelector(ready);
      await check_no_overflow(tab, name);
      await check_accessibility(tab, `${name} on a phone`);
      await shot(tab, `phone-${name}-new`);
    }
  },
};
