// Ten tasks of real work, each by pointer and by keyboard alone, on a server with an hour of a shop in it.
// At T-20 min payment 2.15.0 was deployed on one of three hosts: there a charge takes six times as long, and sometimes fails.

import assert from 'node:assert/strict';
import { browse_trace, random_of, shop_trace, TraceFixture } from './fixtures.mjs';
import { Keys, Pointer } from './hands.mjs';
import { shot, wait_selected } from './lib.mjs';
import { otlp_of } from './real_server.mjs';

const minute = 60_000;
const kTraces = 90;
const failing_id = '4815f00d4815f00d4815f00d4815f00d';
const slow_id = '510f510f510f510f510f510f510f510f';

function slow_payment(root, factor) {
  const late = (span, by) => {
    span.start += by;
    for (const child of span.children ?? []) late(child, by);
  };
  const grow = (span) => {
    let by = 0;
    for (const child of span.children ?? []) {
      if (by) late(child, by);
      if (child.name === 'POST bank/authorize') {
        by += child.dur * (factor - 1);
        child.dur *= factor;
      } else by += grow(child);
    }
    span.dur += by;
    return by;
  };
  grow(root);
  return root;
}

/** The traces of the hour, oldest first, each with what its resources say. */
export function story(now_ms) {
  const random = random_of(1405);
  const out = [];
  for (let i = 0; i < kTraces; i++) {
    const age = (kTraces - i) * 0.62 * minute;
    const host = `payment-h${15 + (i % 3)}`;
    const is_new = age < 20 * minute && host === 'payment-h17';
    const fail = is_new && i % 2 === 0;
    const user = String(4000 + i);
    const id = (BigInt(i + 7) * 0x9e3779b97f4a7c15f39cc0605cedc835n).toString(16).slice(-32).padStart(32, '2');
    const root = i % 5 === 4 ? browse_trace(random) : shop_trace(random, 0, { fail, user });
    if (is_new && i % 5 !== 4) slow_payment(root, 6);
    out.push({ fixture: new TraceFixture(id, now_ms - age, root), more: (service) => (service === 'payment' ? { 'host.name': host, 'service.version': is_new ? '2.15.0' : '2.14.0' } : {}) });
  }
  const payment = (service) => (service === 'payment' ? { 'host.name': 'payment-h17', 'service.version': '2.15.0' } : {});
  out.push({ fixture: new TraceFixture(failing_id, now_ms - 6 * minute, shop_trace(random, 0, { fail: true, user: '4815' })), more: payment });
  out.push({ fixture: new TraceFixture(slow_id, now_ms - 4 * minute, slow_payment(shop_trace(random, 0, { user: '77' }), 8)), more: payment });
  return out;
}

const results = [];
export function task_table() {
  return results.map(({ name, pointer, keys }) => `      ${name.padEnd(58)} ${String(pointer).padStart(3)} by pointer ${String(keys).padStart(3)} by keyboard`).join('\n');
}

const home = async (tab, url) => {
  await tab.goto(url);
  await tab.waitForSelector('.services-table tbody tr');
};
const trace = async (tab, url, id) => {
  await tab.goto(`${url}/trace/${id}`);
  await tab.waitForSelector('.wf-row.selected');
};
const has_row = (tab, selector, pattern) => tab.waitForFunction(
  ([where, source]) => [...document.querySelectorAll(where)].some((row) => new RegExp(source).test(row.textContent)), [selector, pattern.source],
);
const heat = '.heat-area canvas';

/** The charges of the hour as a picture, and its slow part of the last half hour explained. */
const charges = {
  async begin(tab, url) {
    await tab.goto(`${url}/search?${new URLSearchParams({ q: '{ name = "Charge" }' })}`);
    await tab.waitForSelector(heat);
  },
  pointer: (hand) => hand.drag('.heat-area', [0.5, 0.02], [0.99, 0.42]),
  keys: (keys) => keys.press('b', 'Enter'),
};

/** From home to the page of payment. */
const to_payment = {
  begin: home,
  pointer: (hand) => hand.click('.services-table tbody a >> text=payment'),
  async keys(keys) {
    await keys.press('Control+k');
    await keys.type('payment');
    await keys.press('Enter');
  },
};

const tasks = {
  'find the failing request of user 4815': {
    begin: home,
    async pointer(hand, tab) {
      await hand.click('nav >> text=Search');
      await hand.click('.query-field');
      await hand.type('{ .user.id = "4815" }');
      await hand.click('button >> text="Search"');
      await tab.waitForFunction(() => document.querySelectorAll('.result').length === 1);
      await hand.click('.result-link');
      await hand.click('.error-pill');
    },
    async keys(keys, tab) {
      await keys.press('g', 's');
      await tab.waitForSelector('.query-field');
      await keys.press('/');
      await keys.type('{ .user.id = "4815" }');
      await keys.press('Enter');
      await tab.waitForFunction(() => document.querySelectorAll('.result').length === 1);
      await keys.press('Escape', 'j', 'Enter'); // out of the line, to the first result, open it
      await tab.waitForSelector('.wf-row.selected');
      await keys.press('e');
    },
    async end(tab) {
      await tab.waitForURL(`**/trace/${failing_id}**`);
      await wait_selected(tab, /error/);
    },
  },

  'which service made this request slow': {
    begin: (tab, url) => trace(tab, url, slow_id),
    pointer: (hand) => hand.click('.segmented >> text=Table'),
    keys: (keys) => keys.press('4'),
    end: (tab) => has_row(tab, '.sums tbody tr:first-child', /payment.*POST bank\/authorize/),
  },

  'what changed 20 minutes ago': {
    ...charges,
    end: (tab) => has_row(tab, '.explain tbody tr', /service\.version\s*=\s*2\.15\.0/),
  },

  'is it one host': {
    ...charges,
    end: (tab) => has_row(tab, '.explain tbody tr', /host\.name\s*=\s*payment-h17\s*100 %/),
  },

  'which database statement is repeated': {
    begin: home,
    pointer: (hand) => hand.click('nav >> text=Databases'),
    keys: (keys) => keys.press('g', 'd'),
    end: (tab) => has_row(tab, '.statements tbody tr:first-child', /SELECT \* FROM product WHERE id = \?/),
  },

  'which deployments got slower': {
    ...to_payment,
    end: (tab) => has_row(tab, '.versions tbody tr', /2\.15\.0.*▲ p95 ×/),
  },

  'who calls payment': {
    ...to_payment,
    end: (tab) => has_row(tab, '[aria-label="Called by"] tbody tr', /checkout/),
  },

  'which trace is typical and which is odd': {
    begin: async (tab, url) => {
      await tab.goto(`${url}/service/payment`);
      await tab.waitForSelector('.histogram a');
    },
    async pointer(hand, tab) {
      await hand.click('.histogram li:last-child a');
      await tab.waitForSelector('.result');
      await hand.click('.result-link');
      await tab.waitForSelector('.wf-row.selected');
      await hand.click('text=With its usual');
    },
    async keys(keys, tab) {
      await keys.press('Control+k');
      await keys.type('slowest');
      await keys.press('Enter');
      await tab.waitForSelector('.result');
      await keys.press('j', 'Enter');
      await tab.waitForSelector('.wf-row.selected');
      await keys.press('Control+k');
      await keys.type('usual');
      await keys.press('Enter');
    },
    end: (tab) => has_row(tab, '.sums tbody tr', /payment.*POST bank\/authorize.*(× the usual p95|× as many|failed)/),
  },

  'why was this trace kept': {
    begin: (tab, url) => trace(tab, url, slow_id),
    pointer: (hand) => hand.click('.kept-fact'),
    async keys(keys) {
      await keys.press('Control+k');
      await keys.type('why');
      await keys.press('Enter');
    },
    end: (tab) => tab.waitForSelector('#why-panel >> text=Recent: every trace stays until its hour ages.'),
  },

  'share it with a colleague': {
    begin: (tab, url) => trace(tab, url, failing_id),
    async pointer(hand, tab) {
      await hand.click('.error-pill');
      await tab.waitForSelector('.detail-body:not(.stale)');
      await hand.click('.detail >> text=Copy link');
    },
    async keys(keys, tab) {
      await keys.press('e');
      await tab.waitForFunction(() => location.search.includes('span='));
      await keys.press('c');
    },
    async end(tab, page) {
      await tab.waitForFunction(() => document.querySelector('[aria-live]').textContent.includes('copied'));
      const link = await tab.evaluate(() => navigator.clipboard.readText());
      const label = await tab.$eval('.wf-row.selected', (row) => row.getAttribute('aria-label'));
      const other = await page({ theme: 'dark' });
      await other.goto(link);
      await other.waitForSelector('.wf-row.selected');
      assert.equal(await other.$eval('.wf-row.selected', (row) => row.getAttribute('aria-label')), label);
    },
  },
};

let is_sent = null;
async function send_story(server) {
  const traces = story(Date.now());
  for (const { fixture, more } of traces) await server.send(otlp_of(fixture, more));
  await server.seen(...traces.map(({ fixture }) => fixture.id));
}

export const task_scenarios = Object.fromEntries(Object.entries(tasks).map(([name, task]) => [`task: ${name}`, async ({ page, server, url }) => {
  await (is_sent ??= send_story(server));
  const counts = {};
  for (const way of ['pointer', 'keys']) {
    const tab = await page({ theme: way === 'keys' ? 'dark' : 'light' });
    await task.begin(tab, url);
    const hand = way === 'keys' ? new Keys(tab) : new Pointer(tab);
    await task[way](hand, tab);
    await task.end(tab, page);
    counts[way] = hand.count;
    await shot(tab, `task-${name.replace(/\W+/g, '-')}-${way === 'keys' ? 'dark' : 'light'}`);
  }
  results.push({ name, pointer: counts.pointer, keys: counts.keys });
}]));
