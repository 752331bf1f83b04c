// Keys pressed as soon as there is something to press them for: before the next frame, as fast typists and slow machines do it.

import assert from 'node:assert/strict';
import { named_id } from './fixtures.mjs';

/** Runs in the page before its scripts: presses the keys in the moment `ready` is in the page, and tells what they came to. */
function press_at_once({ ready, keys, text }) {
  const key_down = (key, ctrlKey = false) => (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', { key, ctrlKey, bubbles: true, cancelable: true }));
  const settled = async () => {
    for (let i = 0; i < 50; i++) await null; // what waits for a promise is done, what waits for a frame is not
  };
  window.pressed = new Promise((resolve) => {
    const seen = new MutationObserver(async () => {
      if (!document.querySelector(ready)) return;
      seen.disconnect();
      await settled();
      for (const key of keys) {
        key_down(...key);
        await settled();
      }
      const field = document.activeElement;
      if (text && field instanceof HTMLInputElement) {
        field.value = text;
        field.dispatchEvent(new InputEvent('input', { bubbles: true }));
        await settled();
      }
      resolve({ role: field?.getAttribute('role'), label: field?.getAttribute('aria-label'), first: document.querySelector('#palette-list li span')?.textContent ?? '', url: location.pathname });
    });
    seen.observe(document, { childList: true, subtree: true, attributes: true });
  });
}

async function pressed(page, url, what) {
  const tab = await page();
  await tab.addInitScript(press_at_once, what);
  await tab.goto(url);
  return tab.evaluate(() => window.pressed);
}

const palette = [['k', true]];

export const at_once_scenarios = {
  'at once: the palette has the focus, and the commands of a service': async ({ page, url }) => {
    const found = await pressed(page, `${url}/service/payment`, { ready: '.histogram a', keys: palette, text: 'slowest' });
    assert.equal(found.role, 'combobox');
    assert.equal(found.first, 'Its slowest requests');
  },

  'at once: the palette has the commands of a trace': async ({ page, url }) => {
    const found = await pressed(page, `${url}/trace/${named_id('shop')}`, { ready: '.wf-row.selected', keys: palette, text: 'usual' });
    assert.equal(found.first, 'Compare with its usual');
  },

  'at once: keys of every page and of the search': async ({ page, url }) => {
    const search = await pressed(page, `${url}/databases`, { ready: '.sums tbody tr', keys: [['g'], ['s'], ['/']], text: '' });
    assert.equal(search.url, '/search');
    assert.equal(search.label, 'TraceQL query');
    assert.equal((await pressed(page, `${url}/trace/${named_id('shop')}`, { ready: '.wf-row.selected', keys: [['/']], text: '' })).label, 'Find in the trace');
  },
};
