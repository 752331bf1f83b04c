// Pages of what is counted: service, map, errors, databases; compare and live.

import assert from 'node:assert/strict';
import { named_id } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, shot, wait_selected } from './lib.mjs';

const themes = ['light', 'dark'];
const row_texts = (tab, selector) => tab.$$eval(selector, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));

const places = [
  ['service', '/service/payment', '.sums tbody tr'], ['map', '/map', '.graph .node'], ['errors', '/errors', '.sums tbody tr'],
  ['databases', '/databases', '.sums tbody tr'], ['compare', `/compare?a=${named_id('shop')}&b=${named_id('broken')}`, '.sums tbody tr'], ['live', '/live', 'text=Following'],
  ['settings', '/settings', '.in-force tbody tr'], ['sampling', '/sampling', '.sums tbody tr'], ['compare-groups', `/compare?${new URLSearchParams({ a: '{ status = error }', b: '{ status != error }' })}`, '.explain tbody tr'],
  ['compare-usual', `/compare?${new URLSearchParams({ a: named_id('shop'), b: '{ }' })}`, '.sums tbody tr'],
];

export const page_scenarios = {
  'pages: each in both themes and on a phone': async ({ page, url }) => {
    for (const theme of themes) {
      const tab = await page({ theme });
      for (const [name, path, ready] of places) {
        await tab.goto(url + path);
        await tab.waitForSelector(ready);
        await check_accessibility(tab, `${name}, ${theme}`);
        await shot(tab, `${name}-${theme}`);
      }
    }
    const phone = await page({ width: 320, height: 700 });
    for (const [name, path, ready] of places) {
      await phone.goto(url + path);
      await phone.waitForSelector(ready);
      await check_no_overflow(phone, name);
    }
  },

  'map: calls between services, around one of them, and on to its page': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/map`);
    await tab.waitForSelector('.graph .node');
    const edges = await row_texts(tab, '.sums tbody tr');
    assert.ok(edges.some(([from, to]) => from === 'checkout' && to === 'payment'));
    assert.ok(edges.every(([from, to]) => from !== to));
    await tab.selectOption('.page-head select', 'fraud');
    await tab.waitForFunction(() => document.querySelectorAll('.sums tbody tr').length === 1);
    assert.match(tab.url(), /focus=fraud/);
    await tab.focus('.graph .node');
    await tab.keyboard.press('Enter');
    await tab.waitForURL('**/service/*');
  },

  'map: databases, who calls from outside, what waits in a queue, and calls to nobody knows where': async ({ page, mock, url }) => {
    const tab = await page({ theme: 'dark' });
    await tab.goto(`${url}/map`);
    await tab.waitForSelector('.graph .node.of-database');
    const edges = await row_texts(tab, '.sums tbody tr');
    assert.ok(edges.some(([from, to]) => from === 'cart' && to === 'shop database'), 'a database is an edge in the table, too');
    assert.ok(edges.some(([from, to]) => from === 'user outside' && to === 'frontend'));
    assert.deepEqual(edges.filter(([, , , , , , waits]) => waits).map(([from, to, , , , , waits]) => [from, to, waits]), [['payment', 'fraud by a queue', '31 ms']]);
    assert.equal(await tab.$$eval('.graph .edge.queue', (all) => all.length), 1);
    await check_accessibility(tab, 'a map with databases');
    // By keyboard: the database leads to what is around it, and back.
    await tab.focus('.graph .node.of-database:has-text("shop")');
    await tab.keyboard.press('Enter');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('focus') === 'database/shop' && document.querySelectorAll('.sums tbody tr').length === 1);
    await tab.waitForSelector('.graph .node.selected');
    await tab.selectOption('.page-head label:nth-of-type(2) select', '2');
    await tab.waitForFunction(() => document.querySelectorAll('.sums tbody tr').length > 1);
    await tab.reload();
    await tab.waitForSelector('.graph .node.of-database.selected');
    await tab.goBack();
    mock.sampled = true;
    await tab.goto(`${url}/map`);
    await tab.waitForSelector('text=estimates');
  },

  'service: operations, callers and versions lead on': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/service/payment`);
    await tab.waitForSelector('.sums tbody tr');
    assert.deepEqual((await row_texts(tab, '.versions tbody tr')).map(([version]) => version), ['2.14.0', '2.15.0']);
    assert.ok((await tab.$$('.lines .version')).length === 1 && (await tab.$$('.lines a')).length > 0, 'the change and traces are marked');
    assert.ok((await row_texts(tab, '[aria-label="Called by"] tbody tr')).some(([service]) => service === 'checkout'));
    assert.ok((await row_texts(tab, '[aria-label="Calls"] tbody tr')).some(([service]) => service === 'fraud'));
    await tab.click('[aria-labelledby=operations-title] tbody a >> nth=0');
    await tab.waitForURL('**/search?q=*');
    await tab.waitForSelector('.result');
  },

  'errors: alike ones are one, with their traces': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/errors`);
    await tab.waitForSelector('.sums tbody tr');
    const rows = await row_texts(tab, '.sums tbody tr');
    assert.ok(rows.some(([type, where]) => type.startsWith('java.net.SocketTimeoutException') && /payment\s*POST bank\/authorize/.test(where)));
    // Traces that differ in line numbers alone are one row.
    const of_bank = rows.filter(([type]) => type.includes('BankClient.authorize'));
    assert.equal(of_bank.length, 1, JSON.stringify(rows));
    await check_accessibility(tab, 'errors');
    await shot(tab, 'errors-frames-light');
    await tab.click('text=java.net.SocketTimeoutException');
    await tab.waitForURL('**/search?q=*');
    await tab.waitForSelector('.result');
  },

  'databases: statements that differ in their data only are one': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/databases`);
    await tab.waitForSelector('.statements tbody tr');
    const shapes = (await row_texts(tab, '.statements tbody tr')).map(([text]) => text);
    assert.ok(shapes.some((text) => text.includes('?')));
    assert.ok(shapes.every((text) => !/\$\d/.test(text)));
  },

  'compare: what changed between two traces, and swapped': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/trace/${named_id('shop')}`);
    await tab.waitForSelector('.wf-row.selected');
    await tab.click('.compare-link');
    await tab.waitForSelector('.choose');
    await tab.fill('.choose label:nth-child(2) input', `http://example/trace/${named_id('broken')}`);
    await tab.click('.choose >> text=Compare');
    await tab.waitForSelector('.sums tbody tr');
    const rows = await row_texts(tab, '.sums tbody tr');
    assert.ok(rows.some((cells) => cells[4] === 'only in the first') && rows.some((cells) => cells[4] === 'only in the second'));
    await tab.click('text=Swap');
    await tab.waitForFunction((id) => new URLSearchParams(location.search).get('a') === id, named_id('broken'));
  },

  'live: follows, pauses and goes on': async ({ page, mock, url }) => {
    const tab = await page();
    await tab.goto(`${url}/live`);
    await tab.waitForSelector('text=Following');
    await tab.keyboard.press(' ');
    await tab.waitForSelector('text=Paused');
    let asked = 0;
    tab.on('request', (request) => (asked += request.url().endsWith('/search') ? 1 : 0));
    await tab.fill('.query-field', '{ status = error }');
    await tab.keyboard.press('Enter');
    await tab.waitForFunction(() => location.search.includes('status'));
    assert.equal(asked, 0, 'nothing is asked while it is paused');
    await tab.click('text=Go on');
    await tab.waitForSelector('text=Following');
    mock.dead = true;
    await tab.waitForSelector('text=Waiting for the server');
    mock.dead = false;
    await tab.waitForSelector('text=Following');
    await tab.waitForFunction(() => !document.querySelector('.failure'));
    tab.problems.length = 0; // the refused requests of the time without a server
  },

  'file: a trace of this computer opens by choice and by drop, without the server': async ({ page, url }) => {
    const tab = await page();
    const spans = [[1, 0, 0, 100, 'GET /'], [2, 1, 10, 60, '<img src=x onerror=alert(1)>']].map(([id, parent, from, to, name]) => ({
      traceId: '0af7651916cd43dd8448eb211c80319c', spanId: String(id).padStart(16, '0'), parentSpanId: parent ? String(parent).padStart(16, '0') : '', name,
      attributes: [{ key: 'order.id', value: { stringValue: `A-${id}` } }],
      startTimeUnixNano: String(1763830000000000000n + BigInt(from) * 1000000n), endTimeUnixNano: String(1763830000000000000n + BigInt(to) * 1000000n),
    }));
    const content = JSON.stringify({ resourceSpans: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }, scopeSpans: [{ spans }] }] });
    await tab.goto(`${url}/file`);
    await check_accessibility(tab, 'open a file');
    await tab.setInputFiles('input[type=file]', { name: 'no.json', mimeType: 'application/json', buffer: Buffer.from('nonsense') });
    await tab.waitForSelector('text=could not be opened');
    let asked = 0;
    tab.on('request', () => asked++);
    await tab.setInputFiles('input[type=file]', { name: 'trace.json', mimeType: 'application/json', buffer: Buffer.from(content) });
    await tab.waitForSelector('.wf-row.selected');
    await check_accessibility(tab, 'an opened file');
    await tab.keyboard.press('j');
    await tab.waitForFunction(() => document.querySelector('.detail h2')?.textContent.startsWith('<img'));
    await tab.keyboard.press('/');
    await tab.keyboard.type('a-1');
    await tab.waitForSelector('.find-count >> text=/ 1');
    await tab.keyboard.press('Enter');
    await wait_selected(tab, /^shop GET/);
    assert.equal(asked, 0, 'nothing of it is sent');
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.query-field');
    await tab.evaluate((text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], 'dropped.json', { type: 'application/json' }));
      window.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true, bubbles: true }));
    }, content);
    await tab.waitForSelector('text=dropped.json');
    await tab.waitForSelector('.wf-row.selected');
  },
};
