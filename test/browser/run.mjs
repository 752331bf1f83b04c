// Browser tests of the UI.
//   node test/browser/run.mjs                          against the mock server
//   node test/browser/run.mjs --server PATH|URL        also against a server: a binary to start, or the address of an empty running one
//   --renew makes the pictures of test/browser/pictures anew.
//   --shots leaves screenshots of every step in build/screenshots; of what fails there is one anyway.
//   --only TEXT runs the scenarios whose name contains the text; --skip-mock leaves the mock server's out.
//   --slow FACTOR gives pages that much less of the processor, --times N runs each scenario so often: finds what leans on speed.
//   --patience FACTOR makes every limit of time that much longer: for a machine that has other work.
// With JAEGER_UI_DIR, the directory of a build of Jaeger's own UI, that is tried on the server, too.
// The last line is 'N passed, N failed', with ', N skipped' where some were; the exit code is 1 when one failed.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { analysis_scenarios } from './analysis_scenarios.mjs';
import { at_once_scenarios } from './at_once_scenarios.mjs';
import { jaeger_ui_scenarios, send_jaeger_ui_traces } from './jaeger_ui_scenarios.mjs';
import { keep_scenarios } from './keep_scenarios.mjs';
import { kept_scenarios } from './kept_scenarios.mjs';
import { Browser, root, save_shot, shots, want_shots } from './lib.mjs';
import { mock_scenarios } from './mock_scenarios.mjs';
import { MockServer } from './mock_server.mjs';
import { RealServer } from './real_server.mjs';
import { kPictureClockMs, picture_scenarios } from './picture_scenarios.mjs';
import { page_scenarios } from './page_scenarios.mjs';
import { story_scenarios } from './story_scenarios.mjs';
import { server_scenarios } from './server_scenarios.mjs';
import { task_scenarios, task_table } from './task_scenarios.mjs';
import { view_scenarios } from './view_scenarios.mjs';
import { way_scenarios } from './way_scenarios.mjs';

const kScenarioTimeoutMs = 120_000;
const kBeside = 2;
/** Pictures mostly wait until nothing happens any more. */
const kPicturesBeside = 3;

function options(args) {
  const out = { server: '', only: '', mock: true, renew: false, slow: 1, times: 1, patience: 1 };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--server' || args[i] === '--binary') out.server = args[++i] ?? '';
    else if (args[i] === '--only') out.only = args[++i] ?? '';
    else if (args[i] === '--skip-mock') out.mock = false;
    else if (args[i] === '--shots') want_shots();
    else if (args[i] === '--renew') out.renew = true;
    else if (args[i] === '--slow') out.slow = Number(args[++i]);
    else if (args[i] === '--patience') out.patience = Number(args[++i]);
    else if (args[i] === '--times') out.times = Number(args[++i]);
    else {
      console.error(`unknown argument ${args[i]}: use --server PATH|URL, --only TEXT, --skip-mock, --shots, --renew, --slow FACTOR, --times N, --patience FACTOR`);
      process.exit(2);
    }
  }
  return out;
}

async function within(milliseconds, work) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

const counts = { passed: 0, failed: 0, skipped: 0 };
/** What is said of those that failed; once more at the end, where it is looked for. */
const failures = [];

/** What is measured, and what shares the clipboard, runs without another one beside it. */
const kAlone = /100,000|first paint|welcome: languages|share it|every row by keyboard|copied/;

async function run_one(name, scenario, make) {
  const began = performance.now();
  const world = await make();
  const pages = [];
  const open = world.browser.page.bind(world.browser);
  const scenario_world = { ...world, page: async (more) => {
    const page = await open(world.url, more);
    pages.push(page);
    return page;
  } };
  try {
    await within(kScenarioTimeoutMs * chosen.patience, scenario(scenario_world));
    for (const page of pages) await page.finish();
    counts.passed++;
    console.log(`ok    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    counts.failed++;
    const problems = pages.flatMap((page) => page.problems.slice(0, 5));
    const lines = [...(error.stack ?? String(error)).split('\n').slice(0, 14), ...problems];
    failures.push(`FAIL  ${name}\n      ${lines.join('\n      ')}`);
    console.log(failures.at(-1));
    for (const page of pages) {
      await save_shot(page, `failed-${name.replace(/\W+/g, '-').slice(0, 60)}`).catch(() => undefined);
      await page.context().close().catch(() => undefined);
    }
  }
  await world.done?.();
}

/** `beside`: how many may run at once. */
async function run(scenarios, only, make, beside = 1) {
  const wanted = Object.entries(scenarios).filter(([name]) => !only || name.includes(only)).flatMap((entry) => Array.from({ length: chosen.times }, () => entry));
  const alone = wanted.filter(([name]) => beside === 1 || kAlone.test(name));
  const others = wanted.filter((entry) => !alone.includes(entry));
  const work = async () => {
    for (let next = others.shift(); next; next = others.shift()) await run_one(...next, make);
  };
  await Promise.all(Array.from({ length: beside }, work));
  for (const [name, scenario] of alone) await run_one(name, scenario, make);
}

/** Jaeger's UI is not ours to copy: its scenarios need a build of it, and a server that is started with that. */
async function run_jaeger_ui(binary) {
  const names = Object.keys(jaeger_ui_scenarios).filter((name) => name.includes(chosen.only));
  if (!names.length) return;
  const build = process.env.JAEGER_UI_DIR ?? '';
  let reason = '';
  if (!build || !existsSync(join(build, 'index.html'))) reason = 'JAEGER_UI_DIR names no build of github.com/jaegertracing/jaeger-ui';
  else if (/^https?:/.test(binary)) reason = '--server names one that runs already';
  if (reason) {
    console.log(`skip  jaeger ui: ${reason}`);
    counts.skipped += names.length;
    return;
  }
  const server = new RealServer(binary, ['--jaeger-ui', build]);
  await server.start();
  try {
    await send_jaeger_ui_traces(server);
    await run(jaeger_ui_scenarios, chosen.only, async () => ({ browser, server, url: server.url }), kBeside);
  } finally {
    await server.stop();
  }
}

const chosen = options(process.argv.slice(2));
if (!existsSync(join(root, 'web/dist/index.html')) && chosen.mock) {
  console.error('web/dist is missing: run `npm ci && npm run build` in web/ first');
  process.exit(2);
}
const browser = new Browser(chosen.slow, chosen.patience);
await browser.start();
try {
  if (chosen.mock) {
    await run({ ...mock_scenarios, ...view_scenarios, ...analysis_scenarios, ...page_scenarios, ...kept_scenarios, ...keep_scenarios, ...story_scenarios, ...way_scenarios, ...at_once_scenarios }, chosen.only, async () => {
      const mock = new MockServer();
      const url = await mock.start();
      return { browser, mock, url, done: () => mock.stop() };
    }, kBeside);
  }
  if (chosen.mock) {
    const still = new MockServer(kPictureClockMs);
    const url = await still.start();
    try {
      await run(picture_scenarios(chosen.renew), chosen.only, async () => ({ browser, url }), kPicturesBeside);
    } finally {
      await still.stop();
    }
  }
  if (chosen.server) {
    // Each begins with an empty server.
    for (const scenarios of [server_scenarios, task_scenarios]) {
      const server = new RealServer(chosen.server);
      await server.start();
      try {
        await run(scenarios, chosen.only, async () => ({ browser, server, url: server.url }), scenarios === task_scenarios ? kBeside : 1);
      } finally {
        await server.stop();
      }
    }
    await run_jaeger_ui(chosen.server);
    if (task_table()) console.log(`      interactions of the tasks:\n${task_table()}`);
  }
} catch (error) {
  counts.failed++;
  console.log(`FAIL  ${error.stack ?? error}`);
} finally {
  await browser.stop();
}
console.log(`screenshots are in ${shots}`);
for (const failure of failures) console.log(failure);
console.log(`${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`);
process.exit(counts.failed > 0 ? 1 : 0);
