// From slow to why: heatmap, explanation of a chosen part, facets.

import assert from 'node:assert/strict';
import { check_accessibility, check_no_overflow, shot } from './lib.mjs';

const themes = ['light', 'dark'];

export const analysis_scenarios = {
  'search: a box in the heatmap is explained, and the reason becomes the query': async ({ page, url }) => {
    for (const theme of themes) {
      const tab = await page({ theme });
      await tab.goto(`${url}/search`);
      await tab.waitForSelector('.heat-area canvas');
      await tab.waitForSelector('.facets .facet');
      await check_accessibility(tab, `heatmap, ${theme}`);
      await shot(tab, `search-heat-${theme}`);
      const area = await (await tab.$('.heat-area')).boundingBox();
      await tab.mouse.move(area.x + 20, area.y + 4);
      await tab.mouse.down();
      await tab.mouse.move(area.x + area.width - 20, area.y + area.height * 0.3, { steps: 4 });
      await tab.mouse.up();
      await tab.waitForSelector('.explain tbody tr');
      await check_accessibility(tab, `explanation, ${theme}`);
      await shot(tab, `search-explain-${theme}`);
      assert.match(tab.url(), /box=/);
      await tab.reload();
      await tab.waitForSelector('.explain tbody tr');
      const [attribute] = await tab.$$eval('.explain tbody tr th', (cells) => cells.map((c) => c.textContent));
      await tab.click('.explain tbody tr:first-child >> text=Filter');
      await tab.waitForFunction(() => new URLSearchParams(location.search).get('q')?.includes('='));
      assert.ok(attribute.includes('='));
      assert.ok(!tab.url().includes('box='));
    }
  },

  'search: the box by keyboard alone': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.heat-area canvas');
    await tab.focus('.heat-area');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.heat-box');
    const before = await tab.getAttribute('.heat-area', 'aria-label');
    await tab.keyboard.press('Shift+ArrowLeft');
    await tab.waitForFunction((old) => document.querySelector('.heat-area').getAttribute('aria-label') !== old, before);
    await tab.keyboard.press('Escape');
    await tab.waitForFunction(() => !document.querySelector('.heat-box'));
  },

  'search: a facet narrows the query and an exclusion widens it': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.facets .facet');
    await tab.click('.facets >> text=payment');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('q') === '{ resource.service.name = "payment" }');
    await tab.click('.segmented >> text=No picture');
    await tab.waitForFunction(() => !document.querySelector('.heat-area') && location.search.includes('v=list'));
    await tab.waitForSelector('.result');
  },

  'search: results as a table, with chosen columns, sorted, in the URL': async ({ page, mock, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search?v=list`);
    await tab.waitForSelector('.result');
    await tab.click('.segmented >> text=Table');
    await tab.waitForSelector('.result-table tbody tr');
    await tab.click('.result-table .sort >> text=Duration');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('sort') === '-duration');
    await tab.click('text=Columns');
    await tab.uncheck('.columns-choice >> text=Services');
    await tab.check('.columns-choice >> text=Trace id');
    await check_accessibility(tab, 'results as a table');
    await shot(tab, 'search-table-light');
    await tab.reload();
    await tab.waitForSelector('.result-table tbody tr');
    assert.deepEqual(await tab.$$eval('.result-table thead th', (all) => all.map((th) => th.textContent)), ['Start', 'Service', 'Root', 'Duration', 'Spans', 'Errors', 'Trace id']);
    assert.deepEqual([mock.searched.q, mock.searched.cursor, await tab.textContent('.result-head h2')], ['{ } with(sort="duration", order="desc")', null, 'Longest 50 traces']);
    assert.equal(await tab.$('.result-head .note'), null);
    const spans = await tab.$$eval('.result-table tbody td:nth-child(4)', (cells) => cells.map((cell) => (cell.textContent.endsWith(' s') ? 1000 : cell.textContent.endsWith('µs') ? 0.001 : 1) * parseFloat(cell.textContent)));
    for (let i = 1; i < 10; i++) assert.ok(spans[i] <= spans[i - 1] + 1, `${spans}`);
    await tab.click('text=Show more');
    await tab.waitForFunction(() => document.querySelectorAll('.result-table tbody tr').length === 100);
    assert.deepEqual([mock.searched.limit, mock.searched.cursor], [100, null], 'a cursor is of the newest');
    await tab.click('.result-table .sort >> text=Errors');
    await tab.waitForSelector('.result-head .note >> text=/only the .* that are loaded/');
    await tab.keyboard.press('j');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.wf-row.selected');
    const phone = await page({ width: 320, height: 700 });
    await phone.goto(`${url}/search?rows=table`);
    await phone.waitForSelector('.result-table tbody tr');
    await check_no_overflow(phone, 'results as a table');
  },

  'search: the order of the list is the server’s, and in the URL': async ({ page, mock, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search?v=list`);
    await tab.waitForSelector('.result');
    await tab.selectOption('.result-tools select', 'start');
    await tab.waitForSelector('.result-head h2 >> text=/^Oldest/');
    assert.match(tab.url(), /sort=start/);
    assert.equal(mock.searched.q, '{ } with(sort="start", order="asc")');
    const oldest = await tab.textContent('.result-name');
    await tab.reload();
    await tab.waitForSelector('.result-head h2 >> text=/^Oldest/');
    assert.equal(await tab.textContent('.result-name'), oldest);
    await check_accessibility(tab, 'oldest first');
    await tab.selectOption('.result-tools select', '');
    await tab.waitForSelector('.result-head h2 >> text=/^Newest/');
    assert.ok(!tab.url().includes('sort='));
  },

  'search: the analysis stays within 320 pixels': async ({ page, url }) => {
    const tab = await page({ width: 320, height: 700 });
    await tab.goto(`${url}/search`);
    await tab.waitForSelector('.heat-area canvas');
    await check_no_overflow(tab, 'search with its heatmap');
  },
};
