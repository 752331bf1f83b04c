import { count, duration, percent } from '../../model/format.ts';
import { type Lanes, lanes_of, merge_flame, type MergedFlame } from '../../model/flame.ts';
import { type Gap, TimeScale } from '../../model/gaps.ts';
import { ticks } from '../../model/ticks.ts';
import type { Trace } from '../../model/trace.ts';
import { type Paint, read_paint, slot_color, Stripes } from './paint.ts';
import * as texts from '../../texts/texts.ts';

const kLaneHeight = 18;
const kAxisHeight = 24;
/** Narrower boxes are drawn without their text. */
const kTextMin = 34;
const kTextWidths = 5000;

export interface FlameEvents {
  select(row: number): void;
  window(from: number, to: number): void;
}

/** One box of the picture, in CSS pixels from the top left of what is scrolled. A display list, so that tests can read it. */
export interface FlameBox {
  row: number;
  node: number;
  lane: number;
  x: number;
  width: number;
  slot: number;
  error: boolean;
  text: string;
}

/**
 * The spans of a trace as boxes below each other: by time, or merged by operation with the heaviest first.
 * One canvas inside a native scroller; boxes narrower than a pixel are left out where another already is. Lives as long as the view.
 */
export class Flame {
  readonly scroller: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly spacer: HTMLElement;
  private readonly note: HTMLElement;
  private readonly context: CanvasRenderingContext2D;
  private readonly stripes: Stripes;
  private readonly observer: ResizeObserver;
  private readonly lanes: Lanes;
  /** Rows of each lane by start: lane l has lane_rows[lane_begin[l] .. lane_begin[l + 1]). */
  private readonly lane_begin: Uint32Array;
  private readonly lane_rows: Uint32Array;
  private merged_flame: MergedFlame | null = null;
  private merged = false;
  private focus = 0;
  private gaps: readonly Gap[] = [];
  private matches: Uint8Array | null = null;
  private selected = 0;
  private from: number;
  private to: number;
  private paint: Paint;
  private frame = 0;
  private boxes: FlameBox[] = [];
  private readonly text_widths = new Map<string, number>();
  private readonly trace: Trace;
  private readonly events: FlameEvents;
  /** Time spent drawing, for measurements: frames and milliseconds. */
  readonly cost = { frames: 0, ms: 0 };

  constructor(host: HTMLElement, trace: Trace, events: FlameEvents, dark: boolean) {
    this.trace = trace;
    this.events = events;
    this.from = trace.first;
    this.to = trace.first + trace.duration;
    this.paint = read_paint(dark);
    this.lanes = lanes_of(trace);
    [this.lane_begin, this.lane_rows] = by_lane(trace, this.lanes);
    this.scroller = part('div', 'flame-scroll', host);
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute('role', 'group');
    this.scroller.setAttribute('aria-label', texts.trace.flame_graph_arrow_keys_go_to);
    this.spacer = part('div', 'flame-spacer', this.scroller);
    this.canvas = part('canvas', 'flame-canvas', this.spacer) as HTMLCanvasElement;
    this.canvas.setAttribute('aria-hidden', 'true');
    this.note = part('div', 'flame-note', host);
    this.note.setAttribute('aria-hidden', 'true');
    const context = this.canvas.getContext('2d');
    if (!context) throw new Error(texts.trace.this_browser_does_not_draw_on);
    this.context = context;
    this.stripes = new Stripes(context);
    this.scroller.addEventListener('scroll', () => this.invalidate(), { passive: true });
    this.scroller.addEventListener('click', (event) => this.on_click(event));
    this.scroller.addEventListener('dblclick', (event) => this.on_double_click(event));
    this.scroller.addEventListener('pointermove', (event) => this.on_hover(event));
    this.scroller.addEventListener('pointerleave', () => this.note.classList.remove('on'));
    this.scroller.addEventListener('wheel', (event) => this.on_wheel(event), { passive: false });
    this.observer = new ResizeObserver(() => this.invalidate());
    this.observer.observe(this.scroller);
  }

  destroy(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // ---- what to show ----

  set_merged(merged: boolean): void {
    this.merged = merged;
    this.focus = 0;
    if (merged) this.merged_flame ??= merge_flame(this.trace);
    const depth = merged && this.merged_flame ? this.merged_flame.depth + 1 : this.lanes.count;
    this.spacer.style.height = `${depth * kLaneHeight + kAxisHeight + 8}px`;
    this.invalidate();
  }

  set_window(from: number, to: number): void {
    this.from = from;
    this.to = to;
    this.invalidate();
  }

  set_gaps(gaps: readonly Gap[]): void {
    this.gaps = gaps;
    this.invalidate();
  }

  set_matches(matches: Uint8Array | null): void {
    this.matches = matches;
    this.invalidate();
  }

  set_selected(row: number): void {
    this.selected = row;
    const top = this.lane_of(row) * kLaneHeight;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop || top + kLaneHeight + kAxisHeight > scrollTop + clientHeight) this.scroller.scrollTop = top - clientHeight / 3;
    this.invalidate();
  }

  set_theme(dark: boolean): void {
    this.paint = read_paint(dark);
    this.stripes.clear();
    this.invalidate();
  }

  /** Leaves the part of the merged flame that was gone into; false where there was none. */
  zoom_out(): boolean {
    if (!this.merged || this.focus === 0) return false;
    this.focus = 0;
    this.invalidate();
    return true;
  }

  /** The row beside another one in the same lane, or the row itself. */
  neighbour(row: number, step: 1 | -1): number {
    const lane = this.lanes.lane[row];
    const rows = this.lane_rows.subarray(this.lane_begin[lane], this.lane_begin[lane + 1]);
    return rows[rows.indexOf(row) + step] ?? row;
  }

  private lane_of(row: number): number {
    return this.merged && this.merged_flame ? this.merged_flame.nodes[this.merged_flame.node_of[row]].depth : this.lanes.lane[row];
  }

  private invalidate(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  // ---- the display list ----

  /** What is drawn now. */
  list(): readonly FlameBox[] {
    return this.boxes;
  }

  private collect(first: number, last: number, width: number): FlameBox[] {
    return this.merged && this.merged_flame ? this.collect_merged(this.merged_flame, first, last, width) : this.collect_by_time(first, last, width);
  }

  private collect_by_time(first: number, last: number, width: number): FlameBox[] {
    const { trace } = this;
    const scale = new TimeScale(this.from, this.to, width, this.gaps);
    const out: FlameBox[] = [];
    for (let lane = first; lane < Math.min(last, this.lanes.count); lane++) {
      const end = this.lane_begin[lane + 1];
      // The span before the first one that starts in the window may reach into it.
      let at = Math.max(this.lane_begin[lane], this.first_from(lane, this.from) - 1);
      while (at < end) {
        const row = this.lane_rows[at++];
        const stop = trace.start[row] + trace.dur[row];
        if (trace.start[row] > this.to) break;
        if (stop < this.from) continue;
        const x = Math.max(0, scale.x(trace.start[row]));
        const right = Math.min(width, Math.max(x + 1, scale.x(stop)));
        // What starts in a pixel that is filled would not be seen: on to the first span after it.
        at = Math.max(at, this.first_from(lane, scale.t(Math.ceil(right - 0.5))));
        out.push({
          row, node: -1, lane, x, width: Math.max(1, right - x), slot: trace.slots[trace.service[row]], error: trace.is_error(row),
          text: right - x > kTextMin ? `${trace.name_of(row)}  ${duration(trace.dur[row])}` : '',
        });
      }
    }
    return out;
  }

  /** Index of the lane's first span that starts at `t` or later. */
  private first_from(lane: number, t: number): number {
    let low = this.lane_begin[lane];
    let high = this.lane_begin[lane + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.trace.start[this.lane_rows[middle]] < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private collect_merged(flame: MergedFlame, first: number, last: number, width: number): FlameBox[] {
    const { nodes } = flame;
    const root = nodes[this.focus];
    const per_ns = width / Math.max(1, root.value);
    const out: FlameBox[] = [];
    const stack = [this.focus];
    while (stack.length) {
      const at = stack.pop() as number;
      const entry = nodes[at];
      const size = entry.value * per_ns;
      if (size < 0.5) continue;
      stack.push(...entry.children);
      const lane = entry.depth;
      if (lane < first || lane >= last) continue;
      out.push({
        row: at === 0 ? -1 : entry.longest, node: at, lane, x: (entry.x - root.x) * per_ns, width: Math.max(1, size),
        slot: entry.service < 0 ? -1 : this.trace.slots[entry.service], error: entry.errors > 0,
        text: `${entry.name}${entry.count > 1 ? ` ×${count(entry.count)}` : ''}  ${percent(entry.value, nodes[0].value)}`,
      });
    }
    return out;
  }

  // ---- drawing ----

  private draw(): void {
    this.frame = 0;
    const began = performance.now();
    const width = this.scroller.clientWidth;
    const height = this.scroller.clientHeight;
    if (width < 40 || height < 20) return;
    const dpr = devicePixelRatio;
    const { canvas, context } = this;
    if (canvas.width !== Math.round(width * dpr) || canvas.height !== Math.round(height * dpr)) {
      canvas.width = Math.round(width * dpr);
      canvas.height = Math.round(height * dpr);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = this.paint.font;
    context.textBaseline = 'middle';
    const top = this.scroller.scrollTop;
    const first = Math.floor(top / kLaneHeight);
    this.boxes = this.collect(first, first + Math.ceil(height / kLaneHeight) + 1, width);
    for (const box of this.boxes) this.draw_box(box, box.lane * kLaneHeight - top + kAxisHeight);
    this.draw_axis(width);
    this.cost.frames++;
    this.cost.ms += performance.now() - began;
  }

  private draw_axis(width: number): void {
    const { context, paint } = this;
    context.fillStyle = paint.surface;
    context.fillRect(0, 0, width, kAxisHeight - 2);
    context.fillStyle = paint.muted;
    if (this.merged) {
      context.fillText(texts.trace.same_operations_joined_width_is, 6, kAxisHeight / 2);
      return;
    }
    const scale = new TimeScale(this.from, this.to, width, this.gaps);
    for (const t of ticks(this.from, this.to, Math.max(2, Math.floor(width / 110)))) {
      if (!scale.gaps.some((gap) => t > gap.from && t < gap.to)) context.fillText(duration(t), scale.x(t) + 4, kAxisHeight / 2);
    }
    for (const gap of scale.gaps) context.fillText('//', scale.x(gap.from) + 8, kAxisHeight / 2);
  }

  private draw_box(box: FlameBox, y: number): void {
    const { context, paint } = this;
    const color = box.slot < 0 ? paint.grid : slot_color(paint, box.slot);
    const dim = this.matches !== null && box.row >= 0 && !this.matched(box);
    const height = kLaneHeight - 1;
    context.globalAlpha = dim ? 0.3 : 1;
    context.fillStyle = color;
    const gap = box.width > 3 ? 1 : 0;
    context.fillRect(box.x, y, box.width - gap, height);
    if (box.slot >= 12 && box.width > 6) this.stripe(box, y, height);
    if (box.error) {
      context.fillStyle = paint.error;
      context.fillRect(box.x, y, Math.min(3, box.width), height);
    }
    if (box.width > kTextMin) this.write(box, y + height / 2 + 0.5);
    if (box.row >= 0 && this.is_selected(box)) {
      context.strokeStyle = paint.text;
      context.lineWidth = 2;
      context.strokeRect(box.x + 1, y + 1, Math.max(1, box.width - 2), height - 2);
    }
    context.globalAlpha = 1;
  }

  private matched(box: FlameBox): boolean {
    if (!this.matches) return true;
    return this.matches[box.row] === 1;
  }

  private is_selected(box: FlameBox): boolean {
    return this.merged && this.merged_flame ? this.merged_flame.node_of[this.selected] === box.node : box.row === this.selected;
  }

  private stripe(box: FlameBox, y: number, height: number): void {
    const pattern = this.stripes.of(this.paint.dark ? 'rgba(0,0,0,.35)' : 'rgba(255,255,255,.45)');
    if (!pattern) return;
    this.context.fillStyle = pattern;
    this.context.fillRect(box.x, y, box.width, height);
  }

  /** Cut with an ellipsis of our own: a canvas that is told a width squeezes the letters. */
  private write(box: FlameBox, middle: number): void {
    const { context, paint } = this;
    const room = box.width - 10;
    let { text } = box;
    const whole = this.text_width(text);
    if (whole > room) {
      const letters = Math.floor((text.length * room) / whole) - 1;
      if (letters < 2) return;
      text = `${text.slice(0, letters)}…`;
    }
    context.fillStyle = box.slot < 0 ? paint.text : paint.dark ? '#0b0d12' : '#ffffff';
    context.fillText(text, box.x + 5, middle);
  }

  private text_width(text: string): number {
    let width = this.text_widths.get(text);
    if (width === undefined) {
      width = this.context.measureText(text).width;
      if (this.text_widths.size > kTextWidths) this.text_widths.clear();
      this.text_widths.set(text, width);
    }
    return width;
  }

  // ---- pointer ----

  private box_at(event: MouseEvent): FlameBox | null {
    const area = this.scroller.getBoundingClientRect();
    const x = event.clientX - area.left;
    const y = event.clientY - area.top - kAxisHeight;
    if (y < 0) return null;
    const lane = Math.floor((y + this.scroller.scrollTop) / kLaneHeight);
    let found: FlameBox | null = null;
    for (const box of this.boxes) if (box.lane === lane && x >= box.x - 1 && x <= box.x + box.width + 1) found = box;
    return found;
  }

  private on_click(event: MouseEvent): void {
    const box = this.box_at(event);
    if (box && box.row >= 0) this.events.select(box.row);
  }

  private on_double_click(event: MouseEvent): void {
    const box = this.box_at(event);
    if (!box) return;
    if (this.merged) {
      this.focus = box.node;
      this.invalidate();
      return;
    }
    const start = this.trace.start[box.row];
    const room = Math.max(10, this.trace.dur[box.row] * 0.02);
    this.events.window(Math.max(this.trace.first, start - room), Math.min(this.trace.first + this.trace.duration, start + this.trace.dur[box.row] + room));
  }

  private on_wheel(event: WheelEvent): void {
    if (this.merged || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const area = this.scroller.getBoundingClientRect();
    const scale = new TimeScale(this.from, this.to, area.width, this.gaps);
    this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), scale.t(event.clientX - area.left));
  }

  zoom(factor: number, around = (this.from + this.to) / 2): void {
    const span = Math.max(10, (this.to - this.from) * factor);
    const share = (around - this.from) / (this.to - this.from);
    const low = this.trace.first;
    const from = Math.max(low, around - share * span);
    this.events.window(from, Math.min(low + this.trace.duration, from + span));
  }

  pan(share: number): void {
    const span = this.to - this.from;
    const low = this.trace.first;
    const from = Math.max(low, Math.min(low + this.trace.duration - span, this.from + share * span));
    this.events.window(from, from + span);
  }

  private on_hover(event: PointerEvent): void {
    const box = this.box_at(event);
    this.note.classList.toggle('on', box !== null);
    if (!box) return;
    const area = this.scroller.getBoundingClientRect();
    const { trace } = this;
    const text = box.text || (box.row >= 0 ? `${trace.name_of(box.row)}  ${duration(trace.dur[box.row])}` : '');
    this.note.textContent = `${box.row >= 0 ? trace.service_of(box.row) : ''} ${text}`.trim();
    const x = Math.min(event.clientX - area.left + 12, area.width - 260);
    this.note.style.transform = `translate(${Math.max(0, x)}px, ${event.clientY - area.top + 16}px)`;
  }
}

function part(tag: string, name: string, host: HTMLElement): HTMLElement {
  const element = document.createElement(tag);
  element.className = name;
  host.append(element);
  return element;
}

function by_lane(trace: Trace, lanes: Lanes): [Uint32Array, Uint32Array] {
  const begin = new Uint32Array(lanes.count + 1);
  for (let row = 0; row < trace.n; row++) begin[lanes.lane[row] + 1]++;
  for (let lane = 0; lane < lanes.count; lane++) begin[lane + 1] += begin[lane];
  const next = begin.slice();
  const rows = new Uint32Array(trace.n);
  for (let row = 0; row < trace.n; row++) rows[next[lanes.lane[row]]++] = row;
  for (let lane = 0; lane < lanes.count; lane++) rows.subarray(begin[lane], begin[lane + 1]).sort((a, b) => trace.start[a] - trace.start[b] || a - b);
  return [begin, rows];
}
