// The other views of a trace: flame, graph, table and log; reduced rows, idle gaps, export.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { named_id } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, open_trace, shot, wait_selected } from './lib.mjs';

const themes = ['light', 'dark'];
const trace_path = (name, query = '') => `/trace/${named_id(name)}${query}`;
const kFrameBudgetMs = 16; // the aim is 6; shared cores make CPU time noisy, and nothing here is drawn by a GPU

async function table_cells(tab) {
  return tab.$$eval('.sums tbody tr', (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
}

export const view_scenarios = {
  'views: every one by key and by pointer, in both themes, kept in the URL': async ({ page, url }) => {
    const places = { flame: '.flame-canvas', graph: '.graph .node', table: '.sums tbody tr', log: '.log tbody tr' };
    for (const theme of themes) {
      const tab = await page({ theme });
      await open_trace(tab, url + trace_path('shop'));
      let key = 2;
      for (const [view, selector] of Object.entries(places)) {
        await tab.keyboard.press(String(key++));
        await tab.waitForSelector(selector);
        await tab.waitForFunction((name) => new URLSearchParams(location.search).get('v') === name, view);
        await check_accessibility(tab, `${view}, ${theme}`);
        await shot(tab, `trace-${view}-${theme}`);
      }
      await tab.reload();
      await tab.waitForSelector(places.log);
      await tab.click('.segmented >> text=Waterfall');
      await tab.waitForSelector('.wf-row.selected');
      await tab.waitForFunction(() => !new URLSearchParams(location.search).has('v'));
    }
  },

  'flame: keys walk the spans, the selection is the one of the waterfall, merged joins operations': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(url + trace_path('shop', '?v=flame'));
    await tab.waitForFunction(() => window.spanloom_flame?.list().length > 5);
    await tab.focus('.flame-scroll');
    await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('ArrowRight');
    await tab.waitForFunction(() => document.querySelector('.detail h2')?.textContent === 'GET /cart/{id}');
    await tab.keyboard.press('m');
    await tab.waitForFunction(() => window.spanloom_flame.list().some((box) => box.text.includes('×')));
    const boxes = await tab.evaluate(() => window.spanloom_flame.list().map((box) => [box.lane, box.x, box.width, box.text]));
    assert.match(boxes.find(([lane]) => lane === 0)[3], /whole trace {2}100 %/);
    for (const [lane, x, width] of boxes) {
      const over = boxes.filter(([l, a, w]) => l === lane && a < x + width - 1.5 && a + w > x + 1.5);
      assert.equal(over.length, 1, 'boxes of one level do not overlap');
    }
    await shot(tab, 'trace-flame-merged-light');
    await tab.keyboard.press('1');
    await wait_selected(tab, /GET \/cart/);
  },

  'flame: 100,000 spans zoom smoothly': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(url + trace_path('100k', '?v=flame'));
    await tab.waitForFunction(() => window.spanloom_flame?.list().length > 20);
    const ms = await tab.evaluate(async () => {
      const flame = window.spanloom_flame;
      const before = { ...flame.cost };
      for (let i = 0; i < 30; i++) {
        flame.zoom(i < 20 ? 0.85 : 1.2);
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
      }
      return (flame.cost.ms - before.ms) / (flame.cost.frames - before.frames);
    });
    console.log(`      flame, zoom: ${ms.toFixed(1)} ms a frame`);
    assert.ok(ms < kFrameBudgetMs, `${ms} ms a frame`);
  },

  'table: sorted by any column, grouped by an attribute, follows the search': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(url + trace_path('shop', '?v=table'));
    await tab.waitForSelector('.sums tbody tr');
    const cells = await table_cells(tab);
    assert.match(cells[0][0], /payment\s*POST bank\/authorize/);
    assert.deepEqual([cells[0][1], cells[0][2]], ['3', '✕ 3']);
    await tab.click('.sort >> text=Spans');
    assert.match((await table_cells(tab))[0][0], /cart\s*SELECT/);
    await tab.fill('.group-by input', 'http.response.status_code');
    await tab.keyboard.press('Enter');
    await tab.waitForFunction(() => [...document.querySelectorAll('.sums tbody th')].some((c) => c.textContent.trim() === '502'));
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('by') === 'http.response.status_code');
    await tab.selectOption('.group-by select', 'service');
    await tab.fill('.find input', 'payment');
    await tab.waitForFunction(() => document.querySelectorAll('.sums tbody tr').length === 1);
    await tab.fill('.find input', 'nothing like it');
    await tab.waitForSelector('text=No span matches');
  },

  'graph: services open into operations by keyboard, the table has the same edges': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(url + trace_path('shop', '?v=graph'));
    await tab.waitForSelector('.graph .node');
    assert.equal(await tab.$$eval('.graph .node', (nodes) => nodes.length), 6);
    assert.equal(await tab.$$eval('.graph .edge', (edges) => edges.length), (await table_cells(tab)).length);
    await tab.focus('.graph .node:has-text("payment")');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.graph .node >> text=Charge');
    assert.equal(await tab.$$eval('.graph .node', (nodes) => nodes.length), 7);
    assert.ok((await table_cells(tab)).some(([from, to]) => from === 'payment Charge' && to === 'payment POST bank/authorize'));
  },

  'log: events in the order of time, the search narrows them, a line leads to its span': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(url + trace_path('shop', '?v=log'));
    await tab.waitForSelector('.log tbody tr');
    const lines = await tab.$$eval('.log tbody tr', (rows) => rows.map((row) => row.textContent));
    assert.match(lines[0], /fraud check passed/);
    assert.equal(lines.filter((line) => line.includes('SocketTimeoutException')).length, 3);
    await tab.fill('.find input', 'timed out');
    await tab.waitForFunction(() => document.querySelectorAll('.log tbody tr').length === 3);
    await tab.click('.log tbody tr:first-child .operation-link');
    await tab.waitForFunction(() => document.querySelector('.detail h2')?.textContent === 'POST bank/authorize');
    await tab.goto(url + trace_path('deep', '?v=log'));
    await tab.waitForSelector('text=No span of this trace has an event');
  },

  'rows: only errors, only the critical path, only matches, each with what is above': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    const rows = () => tab.$eval('.wf-scroll', (e) => Number(e.getAttribute('aria-rowcount')));
    const all = await rows();
    await tab.selectOption('.reduce select', 'errors');
    await tab.waitForFunction((before) => Number(document.querySelector('.wf-scroll').getAttribute('aria-rowcount')) < before, all);
    assert.equal(await rows(), 6);
    await tab.waitForFunction(() => location.search.includes('reduce=errors'));
    await tab.reload();
    await tab.waitForSelector('.wf-row.selected');
    assert.equal(await rows(), 6);
    await tab.fill('.find input', 'auth');
    await tab.selectOption('.reduce select', 'matches');
    await tab.waitForFunction(() => [...document.querySelectorAll('.wf-row')].some((r) => r.getAttribute('aria-label')?.startsWith('auth')));
    assert.equal((await tab.$$eval('.wf-row', (list) => list.filter((r) => r.style.display !== 'none' && r.getAttribute('aria-label').startsWith('cart')).length)), 0);
    await tab.focus('.wf-scroll');
    await tab.keyboard.press('Escape');
    await tab.keyboard.press('Escape');
    await tab.waitForFunction((n) => Number(document.querySelector('.wf-scroll').getAttribute('aria-rowcount')) === n, all);
  },

  'views: folds, what the graph opened and how the table is sorted survive a reload': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    const rows = () => tab.$eval('.wf-scroll', (e) => Number(e.getAttribute('aria-rowcount')));
    const all = await rows();
    await tab.keyboard.press('j');
    await tab.keyboard.press('h');
    await tab.waitForFunction(() => location.search.includes('open='));
    const folded = await rows();
    assert.ok(folded < all);
    await tab.reload();
    await tab.waitForSelector('.wf-row.selected');
    assert.equal(await rows(), folded);
    await tab.click('.toolbar >> text=Unfold all');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('open') === 'n');
    await tab.keyboard.press('3');
    await tab.click('.graph .node:has-text("payment")');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('into') === 'payment');
    await tab.reload();
    await tab.waitForSelector('.graph .node >> text=Charge');
    await tab.keyboard.press('4');
    await tab.click('.sort >> text=Spans');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('sort') === '-count');
    await tab.reload();
    await tab.waitForSelector('th[aria-sort=descending] >> text=Spans');
    await tab.keyboard.press('1');
    await tab.waitForSelector('.wf-row.selected');
    assert.equal(await rows(), 25);
  },

  'export: files by other systems\' formats, and a picture of the rows': async ({ page, url }) => {
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    await tab.click('text=Export');
    await check_accessibility(tab, 'export menu');
    const links = await tab.$$eval('.menu-items a', (all) => all.map((a) => [a.getAttribute('href'), a.getAttribute('download')]));
    assert.deepEqual(links.map(([href]) => href), [`/tempo/api/v2/traces/${named_id('shop')}`, `/jaeger/api/traces/${named_id('shop')}`]);
    for (const kind of ['SVG', 'PNG']) {
      if (!(await tab.$('.menu-items'))) await tab.click('text=Export');
      const [download] = await Promise.all([tab.waitForEvent('download'), tab.click(`text=Picture (${kind})`)]);
      const bytes = readFileSync(await download.path());
      if (kind === 'SVG') assert.match(bytes.toString(), /^<svg[\s\S]*bank\/authorize[\s\S]*<\/svg>$/);
      else assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
    }
  },

  'views stay within a phone of 320 pixels': async ({ page, url }) => {
    const tab = await page({ width: 320, height: 700 });
    for (const view of ['flame', 'graph', 'table', 'log']) {
      await tab.goto(url + trace_path('shop', `?v=${view}`));
      await tab.waitForSelector('.segmented');
      await tab.waitForTimeout(200);
      await check_no_overflow(tab, view);
    }
  },
};
