// Settled states compared with pictures in test/browser/pictures. They catch what styles break; what is on a canvas is tested as data elsewhere.
//   node test/browser/run.mjs --only picture: --renew    makes them anew
// The clock stands still, the data is fixed, the font is DejaVu (fonts-dejavu-core). A failing one leaves expected, actual and difference in build/screenshots.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { named_id } from './fixtures.mjs';
import { root, shots } from './lib.mjs';

export const kPictureClockMs = Date.UTC(2026, 10, 26, 12, 0, 0);
const folder = join(root, 'test/browser/pictures');
/** Of a pixel's channels, in 255ths, and of the picture. */
const kChannelTolerance = 26;
const kShareTolerance = 0.001;

const trace = (name, query = '') => `/trace/${named_id(name)}${query}`;
const groups = `/compare?${new URLSearchParams({ a: '{ status = error }', b: '{ status != error }' })}`;
const dark = { theme: 'dark' };
const high = { contrast: 'more' };
const phone = { width: 320, height: 700 };

/** Name, address, what is there once it is settled, how the page is opened, what is done first. */
const pictures = [
  ['home-light', '/', '.newest-errors li', {}], ['home-dark', '/', '.newest-errors li', dark], ['home-contrast', '/', '.newest-errors li', high], ['home-phone', '/', '.newest-errors li', phone],
  ['search-light', '/search', '.facets .facet', {}], ['search-dark', '/search', '.facets .facet', dark],
  ['search-explain-light', '/search', '.facets .facet', {}, async (tab) => {
    await tab.keyboard.press('b');
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.explain tbody tr');
  }],
  ['trace-light', trace('shop'), '.usual', {}], ['trace-dark', trace('shop'), '.usual', dark], ['trace-contrast-dark', trace('shop'), '.usual', { ...dark, ...high }], ['trace-phone', trace('shop'), '.wf-row.selected', phone],
  ['trace-clocks-light', trace('broken', '?clocks=corrected'), '.usual', {}], ['trace-100k-light', trace('100k'), '.usual', {}], ['trace-hostile-light', trace('hostile'), '.usual', {}],
  ['flame-light', trace('shop', '?v=flame'), '.flame-canvas', {}], ['graph-light', trace('shop', '?v=graph'), '.graph .node', {}], ['table-dark', trace('shop', '?v=table'), '.sums tbody tr', dark], ['log-light', trace('shop', '?v=log'), '.log tbody tr', {}],
  ['service-light', '/service/payment', '.lines', {}], ['map-light', '/map', '.graph .node', {}], ['errors-dark', '/errors', '.sums tbody tr', dark],
  ['compare-light', `/compare?a=${named_id('shop')}&b=${named_id('broken')}`, '.sums tbody tr', {}], ['compare-groups-dark', groups, '.explain tbody tr', dark],
  ['settings-light', '/settings', '.in-force tbody tr', {}], ['sampling-light', '/sampling', '.sums tbody tr', {}], ['welcome-light', '/welcome', '.snippet', {}],
  ['help-light', '/', '.newest-errors li', {}, async (tab) => {
    await tab.keyboard.press('?');
    await tab.waitForSelector('dialog.help');
  }],
];

/** In a page of its own: how many pixels differ, and a picture of where. */
function difference([expected, actual, tolerance]) {
  const load = (text) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error('a picture cannot be read'));
    image.src = `data:image/png;base64,${text}`;
  });
  const pixels = (image) => {
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  return Promise.all([load(expected), load(actual)]).then(async ([a, b]) => {
    if (a.width !== b.width || a.height !== b.height) return { share: 1, picture: '' };
    const [one, other] = [pixels(a), pixels(b)];
    let differ = 0;
    for (let i = 0; i < one.data.length; i += 4) {
      const most = Math.max(...[0, 1, 2].map((c) => Math.abs(one.data[i + c] - other.data[i + c])));
      const wrong = most > tolerance;
      if (wrong) differ++;
      for (const c of [0, 1, 2]) other.data[i + c] = wrong ? [255, 0, 80][c] : 200 + one.data[i + c] / 5;
    }
    const canvas = new OffscreenCanvas(a.width, a.height);
    canvas.getContext('2d').putImageData(other, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { share: differ / (one.data.length / 4), picture: btoa(text) };
  });
}

const has_font = () => {
  try {
    return execFileSync('fc-match', ['system-ui'], { encoding: 'utf8' }).startsWith('DejaVuSans.ttf');
  } catch {
    return false;
  }
};

async function settle(tab, ready) {
  await tab.waitForSelector(ready);
  await tab.waitForLoadState('networkidle');
  await tab.evaluate(() => document.fonts.ready.then(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))));
  await tab.waitForFunction(() => !document.querySelector('.stale, .loading, [aria-busy=true]'));
}

let judge = null;

export function picture_scenarios(renew) {
  return Object.fromEntries(pictures.map(([name, path, ready, how, first]) => [`picture: ${name}`, async ({ page, url, browser }) => {
    assert.ok(has_font(), 'the pictures are made with DejaVu Sans: install fonts-dejavu-core');
    const tab = await page({ width: 1180, height: 720, ...how, timezoneId: 'UTC', locale: 'en-US' });
    await tab.clock.setFixedTime(kPictureClockMs);
    await tab.goto(url + path);
    await settle(tab, ready);
    if (first) {
      await first(tab);
      await settle(tab, ready);
    }
    const actual = await tab.screenshot({ animations: 'disabled', caret: 'hide' });
    const file = join(folder, `${name}.png`);
    if (renew) return writeFileSync(file, actual);
    assert.ok(existsSync(file), `there is no picture ${name}: make it with --renew, look at it, and add it`);
    const expected = readFileSync(file);
    judge ??= browser.page(url);
    const { share, picture } = await (await judge).evaluate(difference, [expected.toString('base64'), actual.toString('base64'), kChannelTolerance]);
    if (share > kShareTolerance) {
      for (const [what, bytes] of [['expected', expected], ['actual', actual], ['difference', Buffer.from(picture, 'base64')]]) writeFileSync(join(shots, `picture-${name}-${what}.png`), bytes);
    }
    assert.ok(share <= kShareTolerance, `${(100 * share).toFixed(2)} % of the pixels of ${name} differ: see build/screenshots/picture-${name}-*.png`);
  }]));
}
