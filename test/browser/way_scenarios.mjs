// What people come for, each by pointer and by keyboard alone, with the same end. The ten tasks of task_scenarios.mjs are the others.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { named_id } from './fixtures.mjs';
import { Keys, Pointer } from './hands.mjs';
import { shot, wait_selected } from './lib.mjs';

const trace_path = (name, query = '') => `/trace/${named_id(name)}${query}`;
const open = (path, ready) => async (tab, url) => {
  await tab.goto(url + path);
  await tab.waitForSelector(ready);
};
const shop = open(trace_path('shop'), '.wf-row.selected');
const rows_shown = (tab) => tab.$eval('.wf-scroll', (e) => Number(e.getAttribute('aria-rowcount')));
const text_of = (tab, selector) => tab.$eval(selector, (e) => e.textContent);
const command = async (keys, words) => {
  await keys.press('Control+k');
  await keys.type(words);
  await keys.press('Enter');
};
/** Tab until what has the focus fits: what no key leads to can be reached all the same. */
const tab_to = async (keys, tab, selector, most = 40) => {
  for (let i = 0; i < most; i++) {
    await keys.press('Tab');
    if (await tab.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  assert.fail(`Tab does not lead to ${selector}`);
};

// The results of the query in the address, all of them; those of the one before stay until they come.
const shows_the_query = () => {
  const q = new URLSearchParams(location.search).get('q');
  const outcome = document.querySelector('.outcome[aria-busy=false]');
  return q !== null && outcome?.dataset.q === q && outcome.querySelector('.result') !== null;
};

const ways = {
  'from the slow part of the heatmap by its explanation to a trace': {
    begin: open('/search', '.heat-area canvas'),
    async pointer(hand, tab) {
      await hand.drag('.heat-area', [0.02, 0.02], [0.98, 0.3]);
      await hand.click('.explain tbody tr:first-child >> text=Filter');
      await tab.waitForFunction(shows_the_query);
      await hand.click('.result-link');
    },
    async keys(keys, tab) {
      await keys.press('b', 'Enter');
      await tab.waitForSelector('.explain tbody tr');
      await tab_to(keys, tab, '.explain tbody tr:first-child button');
      await keys.press('Enter');
      await tab.waitForFunction(shows_the_query);
      await keys.press('j', 'Enter');
    },
    end: (tab) => tab.waitForSelector('.wf-row.selected'),
  },

  'find in a trace what is folded away': {
    begin: open(trace_path('shop', '?open=0'), '.wf-row.selected'),
    async pointer(hand, tab) {
      assert.equal(await rows_shown(tab), 1);
      await hand.click('.find input');
      await hand.type('bank');
      await tab.waitForSelector('.find-count >> text=/ 3');
      await hand.click('[aria-label="Next match"]');
    },
    async keys(keys, tab) {
      await keys.press('/');
      await keys.type('bank');
      await tab.waitForSelector('.find-count >> text=/ 3');
      await keys.press('Enter');
    },
    end: (tab) => wait_selected(tab, /^payment POST bank/),
  },

  'open what is called again and again': {
    begin: shop,
    pointer: (hand) => hand.click('.wf-row[aria-label*="similar spans"] .wf-twist'),
    async keys(keys, tab) {
      for (let i = 0; i < 5; i++) await keys.press('j');
      await wait_selected(tab, /similar spans/);
      await keys.press(' ');
    },
    end: (tab) => tab.waitForFunction(() => document.querySelector('.wf-scroll').getAttribute('aria-rowcount') === '25'),
  },

  'back from a trace to the same list': {
    begin: open('/search?v=list', '.result'),
    async pointer(hand, tab) {
      await hand.click('.result:nth-child(5) .result-link');
      await tab.waitForSelector('.wf-row.selected');
      await hand.click('.crumbs a');
    },
    async keys(keys, tab) {
      await keys.press('j', 'j', 'Enter');
      await tab.waitForSelector('.wf-row.selected');
      await keys.back();
    },
    async end(tab) {
      await tab.waitForFunction(() => location.pathname === '/search' && document.querySelectorAll('.result').length === 50);
      assert.match(tab.url(), /v=list/);
    },
  },

  'compare a trace with another one': {
    begin: shop,
    async pointer(hand, tab) {
      await hand.click('.compare-link');
      await hand.click('.choose label:nth-child(2) input');
      await hand.type(named_id('broken'));
      await hand.click('.choose >> text=Compare');
      await tab.waitForSelector('.sums tbody tr');
    },
    async keys(keys, tab) {
      await command(keys, 'compare with another');
      await tab.waitForSelector('.choose');
      await tab_to(keys, tab, '.choose label:nth-child(2) input');
      await keys.type(named_id('broken'));
      await keys.press('Enter');
    },
    end: (tab) => tab.waitForFunction((b) => new URLSearchParams(location.search).get('b') === b && document.querySelector('.sums tbody tr'), named_id('broken')),
  },

  'what is around one service on the map': {
    begin: open('/map', '.graph .node.of-database'),
    pointer: (hand) => hand.click('.graph .node.of-database:has-text("shop")'),
    async keys(keys, tab) {
      await tab_to(keys, tab, '.graph .node.of-database:last-of-type, .graph .node.of-database');
      await keys.press('Enter');
    },
    end: (tab) => tab.waitForFunction(() => new URLSearchParams(location.search).get('focus')?.startsWith('database/') && document.querySelector('.graph .node.selected')),
  },

  'pause what arrives, and go on': {
    begin: open('/live', 'text=Following'),
    async pointer(hand, tab) {
      await hand.click('text=Pause');
      await tab.waitForSelector('text=Paused');
      await hand.click('text=Go on');
    },
    async keys(keys, tab) {
      await keys.press(' ');
      await tab.waitForSelector('text=Paused');
      await keys.press(' ');
    },
    end: (tab) => tab.waitForSelector('text=Following'),
  },

  'a mistake in a query is shown, and corrected': {
    begin: open('/search', '.result'),
    allow: [/status of 400/],
    async pointer(hand, tab) {
      await hand.click('.query-field');
      await hand.type('{ foo = "x" }');
      await hand.click('button >> text="Search"');
      await tab.waitForSelector('.query-problem');
      await hand.click('.query-field');
      await tab.keyboard.press('Control+a');
      await hand.type('{ status = error }');
      await hand.click('button >> text="Search"');
    },
    async keys(keys, tab) {
      await keys.press('/');
      await keys.type('{ foo = "x" }');
      await keys.press('Enter');
      await tab.waitForSelector('.query-problem');
      await keys.press('Control+a');
      await keys.type('{ status = error }');
      await keys.press('Enter');
    },
    end: (tab) => tab.waitForFunction(() => new URLSearchParams(location.search).get('q') === '{ status = error }' && document.querySelector('.result') && !document.querySelector('.query-problem')),
  },

  'the server is gone, and comes back': {
    begin: open('/', '.services-table tbody tr'),
    allow: [/net::ERR/],
    async pointer(hand, tab, mock) {
      mock.dead = true;
      await hand.click('nav >> text=Search');
      await tab.waitForSelector('.failure');
      mock.dead = false;
      await hand.click('button >> text=Retry');
    },
    async keys(keys, tab, mock) {
      mock.dead = true;
      await keys.press('g', 's');
      await tab.waitForSelector('.failure');
      mock.dead = false;
      await tab_to(keys, tab, '.failure button');
      await keys.press('Enter');
    },
    end: (tab) => tab.waitForSelector('.result'),
  },

  'clocks set right': {
    begin: open(trace_path('broken'), '.clocks'),
    pointer: (hand) => hand.click('.clocks >> text=Correct the clocks'),
    keys: (keys) => command(keys, 'clocks'),
    end: (tab) => tab.waitForFunction(() => new URLSearchParams(location.search).get('clocks') === 'corrected'),
  },

  'pin a trace': {
    begin: shop,
    pointer: (hand) => hand.click('.pin-button'),
    keys: (keys) => command(keys, 'pin this'),
    end: (tab) => tab.waitForSelector('.pin-button.on'),
  },

  'take the picture along as a file': {
    begin: shop,
    async pointer(hand, tab) {
      await hand.click('text=Export');
      const [file] = await Promise.all([tab.waitForEvent('download'), hand.click('text=Picture (SVG)')]);
      this.file = file;
    },
    async keys(keys, tab) {
      const [file] = await Promise.all([tab.waitForEvent('download'), command(keys, 'svg')]);
      this.file = file;
    },
    async end() {
      assert.match(readFileSync(await this.file.path()).toString(), /^<svg[\s\S]*<\/svg>$/);
    },
  },

  'open a trace file': {
    begin: open('/file', 'input[type=file]'),
    // The browser has to know that a chooser is waited for before one opens: it is told a few calls earlier.
    async pointer(hand, tab) {
      const chooser = tab.waitForEvent('filechooser');
      await tab.waitForSelector('.file-button span');
      await hand.click('.file-button span');
      await (await chooser).setFiles(zipkin_file);
    },
    async keys(keys, tab) {
      const chooser = tab.waitForEvent('filechooser');
      await tab_to(keys, tab, 'input[type=file]');
      await keys.press(' ');
      await (await chooser).setFiles(zipkin_file);
    },
    end: (tab) => wait_selected(tab, /^web get/),
  },

  'a copied link shows the same later': {
    begin: open('/search?q=%7B%20status%20%3D%20error%20%7D', '.result'),
    async pointer(hand, tab) {
      await hand.click('.palette-button');
      await hand.type('times fixed');
      await hand.click('[role=option]');
      await tab.waitForFunction(() => document.querySelector('[aria-live]').textContent.includes('copied'));
    },
    keys: (keys) => command(keys, 'times fixed'),
    async end(tab) {
      await tab.waitForFunction(() => document.querySelector('[aria-live]').textContent.includes('copied'));
      const link = new URL(await tab.evaluate(() => navigator.clipboard.readText()));
      assert.equal(link.searchParams.get('q'), '{ status = error }');
      assert.ok(BigInt(link.searchParams.get('to')) - BigInt(link.searchParams.get('from')) === 3_600_000_000_000n);
    },
  },
};

const zipkin_file = {
  name: 'trace.json', mimeType: 'application/json',
  buffer: Buffer.from(JSON.stringify([{ traceId: 'cd', id: '1', name: 'get', kind: 'SERVER', timestamp: 1763830000000000, duration: 7, localEndpoint: { serviceName: 'web' }, tags: {} }])),
};

export const way_scenarios = Object.fromEntries(Object.entries(ways).map(([name, way]) => [`way: ${name}`, async ({ page, mock, url }) => {
  for (const [hands, theme] of [['pointer', 'light'], ['keys', 'dark']]) {
    const tab = await page({ theme, allow: way.allow ?? [] });
    await way.begin(tab, url);
    await way[hands].call(way, hands === 'keys' ? new Keys(tab) : new Pointer(tab), tab, mock);
    await way.end.call(way, tab);
    await shot(tab, `way-${name.replace(/\W+/g, '-')}-${theme}`);
    mock.keep.pins = [];
  }
}]));
