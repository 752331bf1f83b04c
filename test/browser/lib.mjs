// Browser, pages with guards, accessibility checks and screenshots for the browser tests.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const require = createRequire(join(root, 'web/package.json'));
const { chromium } = require('playwright-core');
const axe_source = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
export const shots = join(root, 'build/screenshots');

const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const chromium_path = process.env.CHROMIUM ?? '/usr/bin/chromium';

export class Browser {
  /** `slow`: how much less of the processor pages get; `patience`: how much longer is waited. */
  constructor(slow = 1, patience = 1) {
    this.slow = slow;
    this.patience = patience;
  }

  async start() {
    mkdirSync(shots, { recursive: true });
    this.browser = await chromium.launch({ executablePath: chromium_path, headless: true, args: flags });
  }

  async stop() {
    await this.browser.close();
  }

  /** A page in a fresh profile; what it prints as an error, throws, or asks from elsewhere is collected and checked at the end. */
  async page(origin, { theme = 'light', width = 1440, height = 900, allow = [], ...more } = {}) {
    const context = await this.browser.newContext({
      viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'], ...more,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000 * this.patience); // two scenarios at a time on shared cores
    if (this.slow > 1) await (await context.newCDPSession(page)).send('Emulation.setCPUThrottlingRate', { rate: this.slow });
    page.problems = [];
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      if (!allow.some((pattern) => pattern.test(message.text()))) page.problems.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => page.problems.push(`thrown: ${error.stack ?? error.message}`));
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith('data:') && !url.startsWith('blob:')) page.problems.push(`request elsewhere: ${url}`);
    });
    page.finish = async () => {
      assert.deepEqual(page.problems, []);
      await context.close();
    };
    return page;
  }
}

const kAll = { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };
/** For a page whose structure was checked in another theme. */
export const kColours = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] };

/** WCAG 2.2 A and AA rules of axe-core, without a violation. */
export async function check_accessibility(page, what, rules = kAll) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe_source);
  const found = await page.evaluate((runOnly) => window.axe.run(document, { runOnly, resultTypes: ['violations'] }), rules);
  const lines = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.failureSummary?.split('\n')[1]?.trim() ?? ''}`).join(' | ')}`);
  assert.deepEqual(lines, [], `accessibility of ${what}`);
}

let are_shots_wanted = false;
export function want_shots() {
  are_shots_wanted = true;
}

/** For people to look at, where they are asked for. */
export async function shot(page, name) {
  if (are_shots_wanted) await save_shot(page, name);
}

export async function save_shot(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

export async function check_no_overflow(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${what} scrolls sideways by ${over} px`);
}

/** Rows of the waterfall that are in the page, top first, as the screen reader has them. */
export async function row_labels(page) {
  return page.$$eval('.wf-row', (rows) => rows.filter((r) => r.style.display !== 'none')
    .sort((a, b) => Number(a.getAttribute('aria-rowindex')) - Number(b.getAttribute('aria-rowindex'))).map((r) => r.getAttribute('aria-label')));
}

export async function selected_label(page) {
  return page.$eval('.wf-row.selected', (row) => row.getAttribute('aria-label'));
}

export async function wait_selected(page, pattern) {
  await page.waitForFunction((source) => {
    const row = document.querySelector('.wf-row.selected');
    return row && row.style.display !== 'none' && new RegExp(source).test(row.getAttribute('aria-label'));
  }, pattern.source).catch(async () => assert.fail(`selected is ${await selected_label(page).catch(() => 'nothing')}, not ${pattern}`));
}

/** What the clipboard has after this, as soon as it has something else. */
export async function copied_by(tab, act) {
  const nothing = 'nothing was copied yet';
  await tab.evaluate((text) => navigator.clipboard.writeText(text), nothing);
  await act();
  for (;;) {
    const text = await tab.evaluate(() => new Promise(requestAnimationFrame).then(() => navigator.clipboard.readText()));
    if (text !== nothing) return text;
  }
}

export async function open_trace(page, url) {
  await page.goto(url);
  await page.waitForSelector('.wf-row.selected');
}
