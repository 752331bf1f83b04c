// What people keep: searches under a name, recent ones, notes at a trace.

import assert from 'node:assert/strict';
import { named_id } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, shot } from './lib.mjs';

const hostile = '<img src=x onerror=alert(1)>';

async function search(tab, q) {
  await tab.fill('.query-field', q);
  await tab.keyboard.press('Enter');
  await tab.waitForFunction((text) => new URLSearchParams(location.search).get('q') === text && !document.querySelector('[aria-busy=true]'), q);
}

export const kept_scenarios = {
  'kept: a search is saved by keyboard, found by others, replaced and forgotten': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search`);
    await search(tab, '{ duration > 1s }');
    await tab.focus('.query-line >> text=Save');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.save-search input:focus');
    await tab.keyboard.type(`slow ones ${hostile}`);
    await check_accessibility(tab, 'saving a search');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.save-search', { state: 'detached' });
    await tab.waitForFunction(() => document.activeElement?.textContent === 'Save');

    const other = await page({ theme: 'dark' }); // another browser
    await other.goto(`${url}/search`);
    await other.waitForSelector('[aria-label="Saved searches"] li:nth-child(2)');
    assert.equal(await other.textContent('[aria-label="Saved searches"] li:nth-child(2) .link'), `slow ones ${hostile}`);
    await check_accessibility(other, 'saved searches');
    await shot(other, 'search-saved-dark');
    await other.click('[aria-label="Saved searches"] .link');
    await other.waitForFunction(() => new URLSearchParams(location.search).get('q') === '{ duration > 1s }');

    await other.keyboard.press('Control+k');
    await other.keyboard.type('slow ones');
    await other.waitForSelector('.palette li[aria-selected="true"] >> text=saved search');
    await other.keyboard.press('Escape');

    await search(other, '{ duration > 2s }');
    await other.click('.query-line >> text=Save');
    await other.fill('.save-search input', `slow ones ${hostile}`);
    await other.click('.save-search >> text=Replace');
    await other.waitForSelector('.save-search', { state: 'detached' });
    await tab.goto(`${url}/search`);
    await tab.click('[aria-label="Saved searches"] .link');
    await tab.waitForFunction(() => new URLSearchParams(location.search).get('q') === '{ duration > 2s }');
    await tab.goto(`${url}/search`);
    await tab.click('[aria-label^="Forget the saved search"]');
    await tab.waitForSelector('[aria-label="Saved searches"]', { state: 'detached' });
  },

  'kept: two at once lose nothing of each other': async ({ page, mock, url }) => {
    const tab = await page({ allow: [/412/] });
    await tab.goto(`${url}/search?q=${encodeURIComponent('{ status = error }')}`);
    await tab.waitForSelector('.result');
    await tab.click('.query-line >> text=Save');
    await tab.fill('.save-search input', 'mine');
    // Someone else saves between the page's reading and its writing.
    await tab.route('**/api/documents/**', async (route) => {
      if (route.request().method() !== 'PUT' || mock.documents.size) return route.continue();
      mock.documents.set('searches/shared', { body: JSON.stringify([{ name: 'theirs', q: '{ }' }]), version: 1 });
      return route.continue();
    });
    await tab.click('.save-search button[type=submit]');
    await tab.waitForSelector('.save-search', { state: 'detached' });
    assert.deepEqual(JSON.parse(mock.documents.get('searches/shared').body).map((one) => one.name), ['mine', 'theirs']);
  },

  'kept: recent searches are this browser’s, newest first, and can be cleared': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/search`);
    await search(tab, '{ status = error }');
    await search(tab, '{ duration > 1s }');
    await tab.goto(`${url}/search`);
    const recent = '[aria-label="Recent searches"] .link';
    await tab.waitForSelector(recent);
    assert.deepEqual(await tab.$$eval(recent, (all) => all.map((one) => one.textContent)), ['{ duration > 1s }', '{ status = error }']);
    await search(tab, `{ ${Array.from({ length: 12 }, (_, i) => `.a.long.attribute.number.${i} != "a value of it"`).join(' && ')} }`);
    await tab.setViewportSize({ width: 320, height: 700 });
    await tab.goto(`${url}/search`);
    await tab.waitForSelector(recent);
    await check_no_overflow(tab, 'a long recent search');
    await tab.click('[aria-label="Recent searches"] >> text=Clear');
    await tab.waitForSelector('[aria-label="Recent searches"]', { state: 'detached' });
  },

  'kept: notes at a trace and at its spans are seen by others, and lead there': async ({ page, url }) => {
    const tab = await page();
    await tab.goto(`${url}/trace/${named_id('shop')}`);
    await tab.waitForSelector('.wf-row.selected');
    await tab.keyboard.press('j');
    await tab.keyboard.press('j');
    await tab.waitForFunction(() => location.search.includes('span='));
    const span = new URL(tab.url()).searchParams.get('span');
    await tab.focus('.note-button');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.note-form textarea:focus');
    await tab.keyboard.type(`the pool was full e j ${hostile}`); // letters are text here, not keys
    await check_accessibility(tab, 'writing a note');
    await tab.keyboard.press('Control+Enter');
    await tab.waitForSelector('.kept-note');
    await shot(tab, 'trace-note-light');

    const phone = await page({ width: 320, height: 700 });
    await phone.goto(`${url}/trace/${named_id('shop')}`);
    await phone.waitForSelector('.kept-note');
    assert.equal(await phone.textContent('.kept-note p'), `the pool was full e j ${hostile}`);
    await check_no_overflow(phone, 'a note');
    await phone.click('.kept-note a');
    await phone.waitForURL(`**/trace/*?span=${span}*`);
    await phone.waitForSelector('.kept-note');
    await phone.click('.kept-note >> text=Remove');
    await phone.waitForSelector('.kept-note', { state: 'detached' });
  },
};
