// Browser tests of the UI.
//   node test/browser/run.mjs                          against the mock server
//   node test/browser/run.mjs --server PATH|URL        also against a server: a binary to start, or the address of an empty running one
//   --only TEXT runs the scenarios whose name contains the text; --skip-mock leaves the mock server's out.
// The last line is 'N passed, N failed'; the exit code is 1 when one failed.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { analysis_scenarios } from './analysis_scenarios.mjs';
import { kept_scenarios } from './kept_scenarios.mjs';
import { Browser, root, shot, shots } from './lib.mjs';
import { mock_scenarios } from './mock_scenarios.mjs';
import { MockServer } from './mock_server.mjs';
import { RealServer } from './real_server.mjs';
import { page_scenarios } from './page_scenarios.mjs';
import { server_scenarios } from './server_scenarios.mjs';
import { view_scenarios } from './view_scenarios.mjs';

const kScenarioTimeoutMs = 120_000;

function options(args) {
  const out = { server: '', only: '', mock: true };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--server' || args[i] === '--binary') out.server = args[++i] ?? '';
    else if (args[i] === '--only') out.only = args[++i] ?? '';
    else if (args[i] === '--skip-mock') out.mock = false;
    else {
      console.error(`unknown argument ${args[i]}: use --server PATH|URL, --only TEXT, --skip-mock`);
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

const counts = { passed: 0, failed: 0 };

async function run(scenarios, only, make) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (only && !name.includes(only)) continue;
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
      await within(kScenarioTimeoutMs, scenario(scenario_world));
      for (const page of pages) await page.finish();
      counts.passed++;
      console.log(`ok    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      counts.failed++;
      console.log(`FAIL  ${name}\n      ${(error.stack ?? String(error)).split('\n').slice(0, 14).join('\n      ')}`);
      for (const page of pages) {
        if (page.problems.length) console.log(`      ${page.problems.slice(0, 5).join('\n      ')}`);
        await shot(page, `failed-${name.replace(/\W+/g, '-').slice(0, 60)}`).catch(() => undefined);
        await page.context().close().catch(() => undefined);
      }
    }
    await world.done?.();
  }
}

const chosen = options(process.argv.slice(2));
if (!existsSync(join(root, 'web/dist/index.html')) && chosen.mock) {
  console.error('web/dist is missing: run `npm ci && npm run build` in web/ first');
  process.exit(2);
}
const browser = new Browser();
await browser.start();
try {
  if (chosen.mock) {
    await run({ ...mock_scenarios, ...view_scenarios, ...analysis_scenarios, ...page_scenarios, ...kept_scenarios }, chosen.only, async () => {
      const mock = new MockServer();
      const url = await mock.start();
      return { browser, mock, url, done: () => mock.stop() };
    });
  }
  if (chosen.server) {
    const server = new RealServer(chosen.server);
    await server.start();
    try {
      await run(server_scenarios, chosen.only, async () => ({ browser, server, url: server.url }));
    } finally {
      await server.stop();
    }
  }
} catch (error) {
  counts.failed++;
  console.log(`FAIL  ${error.stack ?? error}`);
} finally {
  await browser.stop();
}
console.log(`screenshots are in ${shots}`);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed > 0 ? 1 : 0);
