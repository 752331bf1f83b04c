import { type Gap, kGapWidth, TimeScale } from '../../model/gaps.ts';
import { count, duration, duration_spoken } from '../../model/format.ts';
import { ticks } from '../../model/ticks.ts';
import { kFlagLate, kFlagOrphan, kFlagUnended, position_of, type Trace } from '../../model/trace.ts';
import { bar_of, type Bar, type BarView, run_durations } from './bars.ts';
import { type Paint, read_paint, slot_color, Stripes } from './paint.ts';
import { hide_slot, make, make_slot, type Slot, write_attribute, write_class, write_style, write_text } from './slot.ts';
import * as texts from '../../texts/texts.ts';

const kRowHeight = 24;
const kNarrowRowHeight = 42;
const kOverscan = 8;
/** Rows stand at most so many rows after the beginning of their layer: far places are not exact in the pixels of browsers. */
const kRowsPerBase = 1000;
/** Browsers limit the height of an element; above this the scroll position is scaled. */
const kMaxSpacer = 15_000_000;
const kMovingDpr = 1.5;
const kSharpenAfterMs = 140;

export interface WaterfallEvents {
  select(row: number, how: 'pointer' | 'key'): void;
  toggle(row: number): void;
  window(from: number, to: number, settled: boolean): void;
  fit(row: number): void;
}

/**
 * The rows and bars of a trace: about 60 recycled DOM rows inside a native scroller and one canvas over them for the bars.
 * Rows and canvas are on one layer of the scrolled box, so they move together while the drawn part lasts: without a frame of script, or
 * by moving the layer where the scroll position is scaled.
 * Lives as long as the trace page; drawing happens at most once per animation frame.
 */
export class Waterfall {
  readonly scroller: HTMLElement;
  private readonly axis: HTMLElement;
  private readonly spacer: HTMLElement;
  private readonly row_note: HTMLElement;
  private readonly layer: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;
  private readonly stripes: Stripes;
  private readonly brush: HTMLElement;
  private readonly observer: ResizeObserver;
  private readonly label_widths = new Map<string, number>();
  private slots: Slot[] = [];
  private rows: Uint32Array = new Uint32Array(0);
  private collapsed: Uint8Array = new Uint8Array(0);
  private matches: Uint8Array | null = null;
  private current_match = -1;
  private selected = 0;
  private from = 0;
  private to = 1;
  private gaps: readonly Gap[] = [];
  private name_width = 380;
  private narrow = false;
  private paint: Paint;
  private stamp = 0;
  private drawn_from = 0;
  private drawn_to = 0;
  private step = 0;
  /** The row that the layer begins with. */
  private base = 0;
  private dirty = true;
  private frame = 0;
  private sharpen = 0;
  private moving = false;
  private client_width = 0;
  private client_height = 0;
  /** Time spent drawing, for measurements: frames and milliseconds. */
  readonly cost = { frames: 0, ms: 0 };

  private readonly trace: Trace;
  private readonly events: WaterfallEvents;

  constructor(host: HTMLElement, trace: Trace, events: WaterfallEvents, dark: boolean) {
    this.trace = trace;
    this.events = events;
    const head = make('div', 'wf-head', host);
    const name_head = make('div', 'wf-head-name', head);
    make('span', '', name_head).textContent = texts.trace.service_and_operation;
    this.row_note = make('span', 'wf-row-note', name_head);
    this.axis = make('div', 'wf-axis', head);
    this.axis.title = texts.trace.drag_to_choose_a_time_window;
    this.brush = make('div', 'wf-brush', this.axis);
    this.scroller = make('div', 'wf-scroll', host, 'treegrid');
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute('aria-label', texts.trace.spans_of_the_trace);
    this.scroller.setAttribute('aria-readonly', 'true');
    this.spacer = make('div', 'wf-spacer', this.scroller, 'presentation');
    this.layer = make('div', 'wf-layer', this.spacer, 'presentation');
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'wf-canvas';
    this.canvas.setAttribute('aria-hidden', 'true');
    this.layer.append(this.canvas);
    const context = this.canvas.getContext('2d');
    if (!context) throw new Error(texts.trace.this_browser_does_not_draw_on);
    this.context = context;
    this.stripes = new Stripes(context);
    this.paint = read_paint(dark);
    this.to = trace.duration + trace.first;
    this.from = trace.first;
    this.scroller.addEventListener('scroll', () => this.on_scroll(), { passive: true });
    this.scroller.addEventListener('wheel', (event) => this.on_wheel(event), { passive: false });
    this.scroller.addEventListener('click', (event) => this.on_click(event));
    // The whole text as a tooltip is set when the pointer comes, not for every row that scrolls by.
    this.scroller.addEventListener('pointerover', (event) => {
      const name = event.target instanceof Element ? event.target.closest<HTMLElement>('.wf-name') : null;
      if (name) name.title = name.textContent ? `${name.querySelector('.wf-service')?.textContent}  ${name.querySelector('.wf-operation')?.textContent}` : '';
    });
    this.scroller.addEventListener('dblclick', (event) => this.on_double_click(event));
    this.axis.addEventListener('pointerdown', (event) => this.on_axis_down(event));
    this.axis.addEventListener('dblclick', () => this.events.window(this.trace.first, this.trace.first + this.trace.duration, true));
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.scroller);
    this.measure();
  }

  destroy(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.sharpen);
  }

  get row_height(): number {
    return this.narrow ? kNarrowRowHeight : kRowHeight;
  }

  private get bar_view(): BarView {
    const left = this.narrow ? 10 : this.name_width;
    const margin = this.narrow ? 12 : 64;
    return { scale: new TimeScale(this.from, this.to, Math.max(40, this.client_width - left - margin), this.gaps), margin };
  }

  // ---- what to show ----

  set_rows(rows: Uint32Array, collapsed: Uint8Array): void {
    this.rows = rows;
    this.collapsed = collapsed;
    this.scroller.setAttribute('aria-rowcount', String(rows.length));
    this.row_note.textContent = rows.length < this.trace.n ? texts.trace.of_rows(count(rows.length), count(this.trace.n)) : '';
    this.spacer.style.height = `${Math.min(kMaxSpacer, rows.length * this.row_height)}px`;
    this.restamp();
  }

  set_selected(row: number): void {
    this.selected = row;
    this.restamp();
  }

  set_matches(matches: Uint8Array | null, current: number): void {
    this.matches = matches;
    this.current_match = current;
    this.restamp();
  }

  set_window(from: number, to: number): void {
    if (from === this.from && to === this.to) return;
    this.from = from;
    this.to = to;
    this.move();
    this.invalidate();
  }

  /** The parts of the time axis to draw short. */
  set_gaps(gaps: readonly Gap[]): void {
    this.gaps = gaps;
    this.invalidate();
  }

  set_theme(dark: boolean): void {
    this.paint = read_paint(dark);
    this.stripes.clear();
    this.restamp();
  }

  set_layout(name_width: number, narrow: boolean): void {
    if (name_width === this.name_width && narrow === this.narrow) return;
    this.name_width = name_width;
    this.narrow = narrow;
    this.spacer.style.height = `${Math.min(kMaxSpacer, this.rows.length * this.row_height)}px`;
    this.restamp();
  }

  /** Scrolls the least that shows the row, or to the middle when it was far away. */
  scroll_to(row: number): void {
    const top = position_of(this.rows, row) * this.row_height;
    const offset = this.virtual_top();
    const height = this.client_height;
    if (top >= offset && top + this.row_height <= offset + height) return;
    const near = Math.abs(top - offset) < height * 2;
    const target = !near ? top - height / 3 : top < offset ? top : top + this.row_height - height;
    this.scroller.scrollTop = this.scroll_of(Math.max(0, target));
    this.invalidate();
  }

  page_rows(): number {
    return Math.max(1, Math.floor(this.client_height / this.row_height) - 1);
  }

  private restamp(): void {
    this.stamp++;
    const step = this.indent_step();
    if (step !== this.step) {
      this.step = step;
      this.layer.style.setProperty('--step', `${step}px`);
    }
    this.invalidate();
  }

  invalidate(): void {
    this.dirty = true;
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  // ---- scrolling ----

  private scroll_ratio(): number {
    const total = this.rows.length * this.row_height;
    if (total <= kMaxSpacer) return 1;
    return (total - this.client_height) / (kMaxSpacer - this.client_height);
  }

  private virtual_top(): number {
    return this.scroller.scrollTop * this.scroll_ratio();
  }

  private scroll_of(virtual: number): number {
    return virtual / this.scroll_ratio();
  }

  private measure(): void {
    this.client_width = this.scroller.clientWidth;
    this.client_height = this.scroller.clientHeight;
    this.restamp();
  }

  private on_scroll(): void {
    const first = Math.floor(this.virtual_top() / this.row_height);
    const last = Math.ceil((this.virtual_top() + this.client_height) / this.row_height);
    const drawn = first >= this.drawn_from && Math.min(last, this.rows.length) <= this.drawn_to;
    if (drawn) {
      if (this.scroll_ratio() !== 1) this.place_layer();
      return;
    }
    this.move();
    this.invalidate();
  }

  /** Puts the layer where the rows in view are, which a scaled scroll position alone does not. */
  private place_layer(): void {
    const shift = this.scroll_ratio() === 1 ? 0 : this.scroller.scrollTop - this.virtual_top();
    this.layer.style.transform = `translateY(${this.base * this.row_height + shift}px)`;
  }

  /** While things move the canvas may be less sharp than the screen; soon after, it is drawn sharp again. */
  private move(): void {
    if (devicePixelRatio <= kMovingDpr) return;
    this.moving = true;
    clearTimeout(this.sharpen);
    this.sharpen = window.setTimeout(() => {
      this.moving = false;
      this.invalidate();
    }, kSharpenAfterMs);
  }

  // ---- pointer ----

  private time_at(client_x: number): number {
    return this.bar_view.scale.t(client_x - this.axis.getBoundingClientRect().left);
  }

  private on_wheel(event: WheelEvent): void {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), this.time_at(event.clientX));
      return;
    }
    const across = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
    if (!across) return;
    event.preventDefault();
    this.pan(across / this.bar_view.scale.width);
  }

  zoom(factor: number, around?: number): void {
    const middle = around ?? (this.from + this.to) / 2;
    const span = Math.max(10, (this.to - this.from) * factor);
    const share = (middle - this.from) / (this.to - this.from);
    this.request_window(middle - share * span, middle - share * span + span);
  }

  /** Moves the window by a share of its width. */
  pan(share: number): void {
    const shift = share * (this.to - this.from);
    const span = this.to - this.from;
    const low = this.trace.first;
    const high = low + this.trace.duration;
    const from = Math.max(low, Math.min(high - span, this.from + shift));
    this.request_window(from, from + span);
  }

  private request_window(from: number, to: number): void {
    const low = this.trace.first;
    const high = low + this.trace.duration;
    const window: [number, number] = [Math.max(low, from), Math.min(high, to)];
    if (window[1] - window[0] < 1) return;
    this.events.window(window[0], window[1], false);
  }

  private on_axis_down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const box = this.axis.getBoundingClientRect();
    const begin = event.clientX;
    this.axis.setPointerCapture(event.pointerId);
    const update = (move: PointerEvent): void => {
      const left = Math.max(box.left, Math.min(begin, move.clientX));
      this.brush.style.left = `${left - box.left}px`;
      this.brush.style.width = `${Math.abs(move.clientX - begin)}px`;
      this.brush.classList.add('on');
    };
    const finish = (up: PointerEvent): void => {
      this.axis.removeEventListener('pointermove', update);
      this.brush.classList.remove('on');
      if (Math.abs(up.clientX - begin) < 4) return;
      const a = this.time_at(Math.min(begin, up.clientX));
      const b = this.time_at(Math.max(begin, up.clientX));
      this.events.window(Math.max(this.trace.first, a), Math.min(this.trace.first + this.trace.duration, b), true);
    };
    this.axis.addEventListener('pointermove', update);
    this.axis.addEventListener('pointerup', finish, { once: true });
    this.axis.addEventListener('pointercancel', finish, { once: true });
  }

  private row_under(event: MouseEvent): number {
    const element = event.target instanceof Element ? event.target.closest<HTMLElement>('.wf-row') : null;
    const slot = element ? this.slots.find((s) => s.element === element) : undefined;
    return slot ? slot.row : -1;
  }

  private on_click(event: MouseEvent): void {
    const row = this.row_under(event);
    if (row < 0) return;
    const twist = event.target instanceof Element && event.target.closest('.wf-twist');
    if (twist && this.trace.foldable(row)) this.events.toggle(row);
    else if (!getSelection()?.toString()) this.events.select(row, 'pointer');
  }

  private on_double_click(event: MouseEvent): void {
    const row = this.row_under(event);
    if (row < 0 || (event.target instanceof Element && event.target.closest('.wf-name'))) return;
    this.events.fit(row);
  }

  // ---- drawing ----

  private draw(): void {
    this.frame = 0;
    if (!this.dirty || this.client_height === 0) return;
    this.dirty = false;
    const began = performance.now();
    const height = this.row_height;
    const top = this.virtual_top();
    const first = Math.max(0, Math.floor(top / height) - kOverscan);
    const last = Math.min(this.rows.length, Math.ceil((top + this.client_height) / height) + kOverscan);
    this.drawn_from = first;
    this.drawn_to = last;
    const base = first - (first % kRowsPerBase);
    if (base !== this.base) {
      this.base = base;
      this.stamp++;
    }
    this.place_layer();
    this.draw_axis();
    this.place_rows(first, last);
    this.draw_bars(first, last);
    const active = this.slot_of(position_of(this.rows, this.selected));
    if (active && active.row === this.selected) this.scroller.setAttribute('aria-activedescendant', active.element.id);
    else this.scroller.removeAttribute('aria-activedescendant');
    this.cost.frames++;
    this.cost.ms += performance.now() - began;
  }

  private slot_of(position: number): Slot | null {
    const slot = this.slots.length ? this.slots[position % this.slots.length] : undefined;
    return slot && slot.position === position ? slot : null;
  }

  private place_rows(first: number, last: number): void {
    const needed = Math.ceil(this.client_height / this.row_height) + 2 * kOverscan + 2;
    if (needed > this.slots.length) {
      while (this.slots.length < needed) this.slots.push(make_slot(this.layer, this.slots.length));
      for (const slot of this.slots) hide_slot(slot);
    }
    const used = new Set<Slot>();
    for (let position = first; position < last; position++) {
      const slot = this.slots[position % this.slots.length];
      used.add(slot);
      this.fill_slot(slot, position);
    }
    for (const slot of this.slots) {
      if (!used.has(slot) && slot.position !== -1) hide_slot(slot);
    }
  }

  private fill_slot(slot: Slot, position: number): void {
    if (slot.position === position && slot.stamp === this.stamp) return;
    if (slot.position === -1) slot.element.style.display = '';
    slot.element.style.transform = `translateY(${(position - this.base) * this.row_height}px)`;
    slot.position = position;
    slot.stamp = this.stamp;
    const row = this.rows[position];
    const previous_row = slot.row;
    slot.row = row;
    this.fill_state(slot, row, position);
    if (previous_row !== row) this.fill_text(slot, row);
    this.fill_look(slot, row);
  }

  private fill_state(slot: Slot, row: number, position: number): void {
    const parent = this.trace.foldable(row);
    const hides = this.trace.fold_end(row) - row;
    const open = !this.collapsed[row];
    write_attribute(slot, 'aria-rowindex', String(position + 1));
    write_attribute(slot, 'aria-level', String(this.trace.depth[row] + 1));
    write_attribute(slot, 'aria-selected', String(row === this.selected));
    write_attribute(slot, 'aria-expanded', parent ? String(open) : '');
    write_text(slot, 'twist_text', parent ? (open ? '▾' : '▸') : '');
    const failed = parent && !open ? this.trace.errors_between(row + 1, row + hides) : 0;
    let hidden = !parent || open ? '' : this.trace.children[row] > 0 ? `+${count(hides - 1)}` : `×${count(hides)}`;
    if (failed > 0) hidden += ` ✕${count(failed)}`;
    if (parent && !open && this.trace.is_repeated_call(row)) hidden += ' N+1';
    write_text(slot, 'hidden_text', hidden);
    write_class(slot, 'hidden', `wf-hidden${failed > 0 ? ' failed' : ''}`);
    const matched = this.matches !== null && this.matches[row] === 1;
    const look = `wf-row${row === this.selected ? ' selected' : ''}${matched ? ' match' : ''}${row === this.current_match ? ' current' : ''}${this.matches && !matched ? ' dim' : ''}`;
    write_class(slot, 'element', look);
  }

  private fill_text(slot: Slot, row: number): void {
    const { trace } = this;
    const error = trace.is_error(row);
    const notes: string[] = [];
    if (error) notes.push('error');
    if (trace.has(row, kFlagOrphan)) notes.push(texts.trace.parent_not_received);
    if (trace.has(row, kFlagUnended)) notes.push(texts.trace.no_valid_end);
    if (trace.has(row, kFlagLate)) notes.push(texts.trace.arrived_late);
    const children = trace.children[row];
    const similar = trace.similar.get(row);
    if (similar) notes.push(texts.trace.first_of_similar_spans(similar, trace.is_repeated_call(row)));
    if (children) notes.push(texts.counts.children(children));
    const time = duration_spoken(trace.dur[row]);
    write_attribute(slot, 'aria-label', [`${trace.service_of(row)} ${trace.name_of(row)}`, time, ...notes].join(', '));
    write_text(slot, 'service_text', trace.service_of(row));
    write_text(slot, 'operation_text', trace.name_of(row));
    write_text(slot, 'time_text', time);
    const orphan = trace.has(row, kFlagOrphan);
    write_text(slot, 'mark_text', error ? '✕' : orphan ? '⚠' : '');
    write_class(slot, 'mark', `wf-mark${error ? ' error' : orphan ? ' warn' : ''}`);
    // A child of the same service as its parent repeats the name in a quieter tone.
    const parent = trace.parent[row];
    write_class(slot, 'service', `wf-service${parent >= 0 && trace.service[parent] === trace.service[row] ? ' same' : ''}`);
  }

  private fill_look(slot: Slot, row: number): void {
    const slot_number = this.trace.slots[this.trace.service[row]];
    write_style(slot, slot.dot, '--c', slot_color(this.paint, slot_number));
    write_class(slot, 'dot', `wf-dot${slot_number >= 12 ? ' striped' : ''}`);
    write_style(slot, slot.indent, 'width', `${this.trace.depth[row] * this.step}px`);
  }

  /** Deep traces get smaller steps, so that the names keep most of their column. */
  private indent_step(): number {
    const room = (this.narrow ? this.client_width * 0.3 : this.name_width * 0.45) || 150;
    return Math.min(14, room / Math.max(1, this.trace.max_depth));
  }

  private draw_axis(): void {
    const { scale } = this.bar_view;
    const marks = this.marks(scale);
    const existing = [...this.axis.querySelectorAll<HTMLElement>('.wf-tick')];
    marks.forEach((t, i) => {
      const element = existing[i] ?? make('span', 'wf-tick', this.axis);
      element.style.left = `${scale.x(t)}px`;
      element.textContent = duration(t);
      element.style.display = '';
    });
    for (const element of existing.slice(marks.length)) element.style.display = 'none';
    this.place_gaps(scale);
  }

  /** Round times of the axis; none inside a gap, where they would stand on each other. */
  private marks(scale: TimeScale): number[] {
    const all = ticks(scale.from, scale.to, Math.max(2, Math.floor(scale.width / 110)));
    return scale.gaps.length === 0 ? all : all.filter((t) => !scale.gaps.some((gap) => t > gap.from && t < gap.to));
  }

  private place_gaps(scale: TimeScale): void {
    const existing = [...this.axis.querySelectorAll<HTMLElement>('.wf-gap')];
    scale.gaps.forEach((gap, i) => {
      const element = existing[i] ?? make('span', 'wf-gap', this.axis);
      element.style.left = `${scale.x(gap.from)}px`;
      element.textContent = duration(gap.to - gap.from);
      element.title = texts.trace.nothing_runs_for_drawn_short(duration(gap.to - gap.from));
      element.style.display = '';
    });
    for (const element of existing.slice(scale.gaps.length)) element.style.display = 'none';
  }

  private label_width(label: string): number {
    let width = this.label_widths.get(label);
    if (width === undefined) {
      width = this.context.measureText(label).width;
      if (this.label_widths.size > 4000) this.label_widths.clear();
      this.label_widths.set(label, width);
    }
    return width;
  }

  private label_of(row: number, folded: boolean): string {
    const { trace } = this;
    if (folded && trace.children[row] === 0) {
      const [low, high] = run_durations(trace, row);
      return low === high ? duration(low) : `${duration(low)} – ${duration(high)}`;
    }
    const time = trace.has(row, kFlagUnended) ? texts.trace.no_end : duration(trace.dur[row]);
    return trace.has(row, kFlagLate) ? `${time} · ${texts.trace.late_mark}` : time;
  }

  /** The display list of the rows drawn now. */
  bars(first = this.drawn_from, last = this.drawn_to): Bar[] {
    const view = this.bar_view;
    const out: Bar[] = [];
    for (let position = first; position < last; position++) {
      const row = this.rows[position];
      const folded = this.collapsed[row] === 1;
      const label = this.label_of(row, folded);
      out.push(bar_of(this.trace, row, view, folded, label, this.label_width(label)));
    }
    return out;
  }

  private draw_bars(first: number, last: number): void {
    const { context, canvas } = this;
    const height = this.row_height;
    const left = this.narrow ? 10 : this.name_width;
    const css_width = this.client_width - left;
    const css_height = (last - first) * height;
    const dpr = this.moving ? Math.min(kMovingDpr, devicePixelRatio) : devicePixelRatio;
    const pixel_width = Math.max(1, Math.round(css_width * dpr));
    const pixel_height = Math.max(1, Math.round(css_height * dpr));
    if (canvas.width !== pixel_width || canvas.height !== pixel_height) {
      canvas.width = pixel_width;
      canvas.height = pixel_height;
      canvas.style.width = `${css_width}px`;
      canvas.style.height = `${css_height}px`;
    }
    canvas.style.transform = `translate(${left}px, ${(first - this.base) * height}px)`;
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.clearRect(0, 0, css_width, css_height);
    context.font = this.paint.font;
    context.textBaseline = 'middle';
    this.draw_grid(css_height);
    const bars = this.bars(first, last);
    for (let i = 0; i < bars.length; i++) this.draw_bar(bars[i], i * height);
  }

  private draw_grid(height: number): void {
    const { scale } = this.bar_view;
    this.context.fillStyle = this.paint.grid;
    for (const t of this.marks(scale)) this.context.fillRect(Math.round(scale.x(t)), 0, 1, height);
    for (const gap of scale.gaps) this.context.fillRect(Math.round(scale.x(gap.from)), 0, kGapWidth, height);
  }

  private draw_bar(bar: Bar, top: number): void {
    const { context, paint } = this;
    const bar_top = this.narrow ? top + 25 : top + 6;
    const bar_height = 12;
    const color = slot_color(paint, bar.slot);
    const dim = this.matches !== null && this.matches[bar.row] === 0;
    context.globalAlpha = dim ? 0.4 : 1;
    if (bar.hidden.length) this.draw_hidden(bar, bar_top + bar_height + 1.5, color);
    if (bar.outside) {
      this.draw_outside(bar, bar_top + bar_height / 2);
      context.globalAlpha = 1;
      return;
    }
    if (bar.members.length) {
      this.draw_members(bar, bar_top, bar_height, color);
      context.fillStyle = paint.muted;
      context.globalAlpha = 1;
      context.fillText(bar.label, bar.label_x, bar_top + bar_height / 2 + 0.5);
      return;
    }
    context.fillStyle = color;
    if (bar.width <= 4) context.fillRect(bar.x, bar_top, bar.width, bar_height);
    else {
      context.beginPath();
      context.roundRect(bar.x, bar_top, bar.width, bar_height, 3);
      context.fill();
    }
    if (bar.slot >= 12) this.overlay(bar, bar_top, bar_height, paint.dark ? 'rgba(0,0,0,.35)' : 'rgba(255,255,255,.45)');
    if (bar.error) this.draw_error(bar, bar_top, bar_height);
    if (bar.critical) {
      context.fillStyle = paint.dark ? '#000b' : '#fffb';
      context.fillRect(bar.x, bar_top + bar_height - 4.5, bar.width, 3.5);
      context.fillStyle = paint.text;
      context.fillRect(bar.x, bar_top + bar_height - 3.5, bar.width, 1.75);
    }
    if (bar.dashed) this.outline(bar, bar_top, bar_height, paint.text, 1, [3, 2]);
    if (this.matches && this.matches[bar.row] === 1) {
      this.outline(bar, bar_top, bar_height, paint.accent, bar.row === this.current_match ? 2 : 1, []);
    }
    if (bar.row === this.selected) this.outline(bar, bar_top, bar_height, paint.text, 1.5, []);
    if (bar.label_inside && (bar.error || bar.critical || bar.slot >= 12)) {
      context.fillStyle = color;
      context.fillRect(bar.label_x - 3, bar_top + 0.5, this.label_width(bar.label) + 6, bar_height - 1);
    }
    context.fillStyle = bar.label_inside ? (paint.dark ? '#0b0d12' : '#ffffff') : paint.muted;
    if (!bar.label_inside) context.globalAlpha = 1;
    context.fillText(bar.label, bar.label_x, bar_top + bar_height / 2 + 0.5);
    context.globalAlpha = 1;
  }

  /** A run of similar spans: one pale bar with a mark for each of them. */
  private draw_members(bar: Bar, top: number, height: number, color: string): void {
    const { context, paint } = this;
    const alpha = context.globalAlpha;
    context.fillStyle = color;
    context.globalAlpha = alpha * 0.25;
    context.beginPath();
    context.roundRect(bar.x, top, bar.width, height, 3);
    context.fill();
    context.globalAlpha = alpha;
    for (let i = 0; i < bar.members.length; i += 2) context.fillRect(bar.members[i], top, bar.members[i + 1], height);
    if (bar.error) this.outline(bar, top, height, paint.error, 1, []);
    if (this.matches && this.matches[bar.row] === 1) this.outline(bar, top, height, paint.accent, 1, []);
    if (bar.row === this.selected) this.outline(bar, top, height, paint.text, 1.5, []);
  }

  private draw_hidden(bar: Bar, y: number, color: string): void {
    const { context } = this;
    const before = context.globalAlpha;
    context.globalAlpha = before * 0.55;
    context.fillStyle = color;
    for (let i = 0; i < bar.hidden.length; i += 2) context.fillRect(bar.hidden[i], y, bar.hidden[i + 1], 2.5);
    context.globalAlpha = before;
  }

  private draw_outside(bar: Bar, middle: number): void {
    const { context } = this;
    const x = bar.outside === 'before' ? 3 : this.bar_view.scale.width - 3;
    const direction = bar.outside === 'before' ? -1 : 1;
    context.strokeStyle = this.paint.muted;
    context.lineWidth = 1.25;
    context.beginPath();
    context.moveTo(x - 2 * direction, middle - 3.5);
    context.lineTo(x + 1.5 * direction, middle);
    context.lineTo(x - 2 * direction, middle + 3.5);
    context.stroke();
  }

  private overlay(bar: Bar, top: number, height: number, color: string): void {
    const pattern = this.stripes.of(color);
    if (!pattern) return;
    this.context.fillStyle = pattern;
    this.context.fillRect(bar.x, top, bar.width, height);
  }

  private draw_error(bar: Bar, top: number, height: number): void {
    const { context, paint } = this;
    if (bar.width > 6) {
      this.overlay(bar, top, height, paint.dark ? 'rgba(20,0,0,.3)' : 'rgba(255,255,255,.34)');
      this.outline(bar, top, height, paint.error, 1, []);
    }
    context.fillStyle = paint.error;
    context.fillRect(bar.x - 1, top - 1, Math.min(4, Math.max(3, bar.width)), height + 2);
  }

  private outline(bar: Bar, top: number, height: number, color: string, width: number, dash: number[]): void {
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    context.roundRect(bar.x - 0.5, top - 0.5, bar.width + 1, height + 1, 3);
    context.stroke();
    context.setLineDash([]);
  }
}
