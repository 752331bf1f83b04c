// The page over a million spans, measured. Not part of the suite: it takes a minute and a gigabyte.
//   node test/browser/large.mjs trace [BINARY] [SPANS]   one trace: from the click to the drawn waterfall, and how smoothly it moves
//   node test/browser/large.mjs brush [BINARY] [SPANS]   many traces, made by bench/loadgen: from a box in the heatmap to what is different in it

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { random_of } from './fixtures.mjs';
import { Browser, root } from './lib.mjs';
import { cpu_per_frame } from './motions.mjs';
import { RealServer } from './real_server.mjs';

const [what = 'trace', binary = 'build/release/spanloom', count = '1000000'] = process.argv.slice(2);
const spans = Number(count);
const id = '0000000000000000000000000000b16b';
const kPerRequest = 5000;
const kJumpRows = 79190;
const services = Array.from({ length: 24 }, (_, i) => `service-${String(i).padStart(2, '0')}`);

const span_id = (row) => (row + 1).toString(16).padStart(16, '0');

/** OTLP JSON of the rows [from, to): a tree about 20 deep, each span inside its parent. */
function* requests(t0) {
  const random = random_of(7);
  const parents = [];
  const start = new Float64Array(spans);
  const end = new Float64Array(spans);
  const depth = new Uint8Array(spans);
  let by_service = new Map();
  for (let row = 0; row < spans; row++) {
    let parent = -1;
    if (row > 0) {
      while (parents.length > 1 && random() < 0.42) parents.pop();
      parent = parents[parents.length - 1];
    }
    const low = parent < 0 ? 0 : start[parent];
    const high = parent < 0 ? 60e9 : end[parent];
    start[row] = parent < 0 ? 0 : Math.round(low + (high - low) * random() * 0.6);
    end[row] = parent < 0 ? high : Math.round(start[row] + (high - start[row]) * (0.2 + 0.8 * random()));
    depth[row] = parent < 0 ? 0 : depth[parent] + 1;
    if (depth[row] < 20) parents.push(row);
    const service = services[Math.floor(random() * services.length)];
    if (!by_service.has(service)) by_service.set(service, []);
    by_service.get(service).push({
      traceId: id, spanId: span_id(row), parentSpanId: parent < 0 ? '' : span_id(parent), name: `operation ${Math.floor(random() * 220)}`, kind: 1 + Math.floor(random() * 3),
      startTimeUnixNano: String(t0 + BigInt(start[row])), endTimeUnixNano: String(t0 + BigInt(end[row])), status: random() < 0.001 ? { code: 2, message: 'failed' } : {},
      attributes: [{ key: 'row', value: { intValue: String(row) } }, { key: 'user.id', value: { stringValue: String(row % 5000) } }],
    });
    if ((row + 1) % kPerRequest === 0 || row + 1 === spans) {
      yield {
        resourceSpans: [...by_service].map(([name, list]) => ({ resource: { attributes: [{ key: 'service.name', value: { stringValue: name } }] }, scopeSpans: [{ scope: { name: 'large' }, spans: list }] })),
      };
      by_service = new Map();
    }
  }
}

/** A page that does not wait for what else it asks. */
const drawn_twice = (tab) => tab.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

async function measure_trace(server, browser) {
  const t0 = BigInt(Date.now() - 120_000) * 1000000n;
  let sent = performance.now();
  for (const request of requests(t0)) {
    for (let tries = 0; ; tries++) {
      try {
        await server.send(request);
        break;
      } catch (error) {
        if (tries > 50) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }
  console.log(`sent ${spans} spans in ${((performance.now() - sent) / 1000).toFixed(0)} s`);
  await server.seen(id);
  const cold = [];
  let bytes = 0;
  let n = 0;
  for (let i = 0; i < 3; i++) {
    await server.restart();
    const cpu = server.cpu_ms();
    const times = [];
    for (let asked = 0; asked < 2; asked++) {
      const began = performance.now();
      const answer = await fetch(`${server.url}/api/ui/v1/trace/${id}/skeleton`, { headers: { 'accept-encoding': 'gzip' } });
      const body = await answer.arrayBuffer();
      times.push(performance.now() - began);
      if (asked === 0) times.push(server.cpu_ms() - cpu);
      bytes = body.byteLength;
      n = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 8, new DataView(body).getUint32(4, true))).trim()).n;
    }
    cold.push(`${times[0].toFixed(0)} (${times[1]} of CPU), again ${times[2].toFixed(0)}`);
  }
  console.log(`skeleton: ${n} spans, ${bytes} bytes; after a restart, ms: ${cold.join('; ')}`);
  await browser.start();
  const tab = await browser.page(server.url);
  for (const when of ['after a restart', 'after a restart', 'after a restart', 'in memory', 'in memory']) {
    if (when === 'after a restart') {
      await server.restart();
      await tab.goto('about:blank');
    }
    const cpu = server.cpu_ms();
    await tab.goto(`${server.url}/trace/${id}`);
    const drawn = await tab.evaluate(() => new Promise((resolve) => {
      const look = () => {
        const fall = window.spanloom_waterfall;
        if (fall && fall.cost.frames > 0 && document.querySelector('.wf-row.selected')) resolve(performance.now());
        else requestAnimationFrame(look);
      };
      look();
    }));
    console.log(`navigation to drawn, ${when}: ${drawn.toFixed(0)} ms (${server.cpu_ms() - cpu} ms of the server's CPU)`);
  }
  let began = performance.now();
  await tab.click('.toolbar >> text=Unfold all');
  await tab.waitForSelector('.toolbar button:disabled >> text=Unfold all');
  console.log(`unfold all: ${(performance.now() - began).toFixed(0)} ms, ${await tab.getAttribute('.wf-scroll', 'aria-rowcount')} rows`);
  for (const [name, ms] of Object.entries(await cpu_per_frame(tab, kJumpRows))) console.log(`${name}: ${ms.toFixed(1)} ms of main-thread CPU a frame`);
  for (const [name, keys] of [['next error', 'e'], ['fold', 'h'], ['zoom', 'w']]) {
    began = performance.now();
    await tab.keyboard.press(keys);
    await drawn_twice(tab);
    console.log(`${name}: ${(performance.now() - began).toFixed(0)} ms`);
  }
  await tab.keyboard.press('/');
  began = performance.now();
  await tab.keyboard.type('operation 17');
  await tab.waitForSelector('.find-count');
  await drawn_twice(tab);
  console.log(`find: ${(performance.now() - began).toFixed(0)} ms, ${await tab.textContent('.find-count')}`);
  await tab.screenshot({ path: 'build/screenshots/trace-1m.png' });
}

async function measure_brush(server, browser) {
  mkdirSync(join(root, '.cache/bench'), { recursive: true });
  const loadgen = join(root, '.cache/bench/loadgen');
  execFileSync(process.env.GO ?? 'go', ['build', '-o', loadgen, '.'], { cwd: join(root, 'bench/loadgen'), stdio: 'inherit' });
  const address = server.otlp.replace('http://', '');
  execFileSync(loadgen, ['-protocol', 'http', '-endpoint', address, '-concurrency', '16', '-spans', String(spans), '-seed', '1'], { stdio: ['ignore', 'ignore', 'inherit'] });
  await browser.start();
  const tab = await browser.page(server.url, { allow: [/./] });
  const times = [];
  for (let i = 0; i < 5; i++) {
    await tab.goto(`${server.url}/search`);
    await tab.waitForSelector('.heat-area canvas');
    await tab.waitForSelector('.facets .facet');
    await tab.waitForLoadState('networkidle');
    const box = await (await tab.$('.heat-area')).boundingBox();
    await tab.mouse.move(box.x + box.width * 0.02, box.y + 2);
    await tab.mouse.down();
    await tab.mouse.move(box.x + box.width * 0.98, box.y + box.height * 0.35, { steps: 3 });
    await tab.evaluate(() => {
      window.explained = new Promise((resolve) => {
        const seen = new MutationObserver(() => {
          if (!document.querySelector('.explain tbody tr')) return;
          seen.disconnect();
          requestAnimationFrame(() => resolve(performance.now()));
        });
        seen.observe(document, { childList: true, subtree: true });
      });
      document.addEventListener('pointerup', () => (window.let_go = performance.now()), { once: true, capture: true });
    });
    await tab.mouse.up();
    times.push(await tab.evaluate(async () => (await window.explained) - window.let_go));
  }
  console.log(`box to explanation over ${spans} spans: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms; ${await tab.textContent('.explain header .muted')}`);
  await tab.screenshot({ path: 'build/screenshots/search-1m.png' });
}

const server = new RealServer(binary);
await server.start();
const browser = new Browser();
try {
  await (what === 'brush' ? measure_brush : measure_trace)(server, browser);
} finally {
  await browser.stop().catch(() => undefined);
  await server.stop();
}
