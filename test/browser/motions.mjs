// How much of the processor the waterfall takes while it moves.

/** Motions over the rows of a trace; each resolves with the frames it took. */
const motions = {
  scroll: () => new Promise((resolve) => {
    const box = document.querySelector('.wf-scroll');
    let frames = 0;
    const step = () => {
      box.scrollTop += 24;
      if (++frames < 120) requestAnimationFrame(step);
      else resolve(frames);
    };
    step();
  }),
  jump: (rows) => new Promise((resolve) => {
    const box = document.querySelector('.wf-scroll');
    let frames = 0;
    const step = () => {
      box.scrollTop = (frames * rows * 24) % (box.scrollHeight - box.clientHeight);
      if (++frames < 60) requestAnimationFrame(step);
      else resolve(frames);
    };
    step();
  }),
  zoom: () => new Promise((resolve) => {
    const fall = window.spanloom_waterfall;
    let frames = 0;
    const step = () => {
      fall.zoom(frames < 40 ? 0.93 : 1 / 0.93);
      if (++frames < 80) requestAnimationFrame(step);
      else resolve(frames);
    };
    step();
  }),
  pan: () => new Promise((resolve) => {
    const fall = window.spanloom_waterfall;
    fall.zoom(0.2);
    let frames = 0;
    const step = () => {
      fall.pan(frames < 40 ? 0.02 : -0.02);
      if (++frames < 80) requestAnimationFrame(step);
      else resolve(frames);
    };
    step();
  }),
};

/** Reads the CPU time of the page's main thread, ms. */
async function main_thread(tab) {
  const session = await tab.context().newCDPSession(tab);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => (await session.send('Performance.getMetrics')).metrics.find((m) => m.name === 'TaskDuration').value * 1000;
  return { busy, end: () => session.detach() };
}

/** Main-thread CPU time a frame in ms, by motion: steady on shared cores, which wall-clock is not. `jump_rows`: how far a jump goes. */
export async function cpu_per_frame(tab, jump_rows) {
  const thread = await main_thread(tab);
  const out = {};
  for (const [name, step] of Object.entries(motions)) {
    const before = await thread.busy();
    const frames = await tab.evaluate(step, jump_rows);
    out[name] = (await thread.busy() - before) / frames;
  }
  await thread.end();
  return out;
}

const kYardstickMs = 30; // of the machine that the budgets were written for

/** How many times as long as there the same work takes here and now, at least 1: what shares the core makes all of it slower. */
export async function slowness(tab) {
  const thread = await main_thread(tab);
  const before = await thread.busy();
  await tab.evaluate(() => {
    const numbers = new Float64Array(1 << 16);
    for (let i = 0; i < 12_000_000; i++) numbers[(i * 40503) & 0xffff] += i % 7;
    window.yardstick = numbers[1];
  });
  const took = await thread.busy() - before;
  await thread.end();
  return Math.max(1, took / kYardstickMs);
}
