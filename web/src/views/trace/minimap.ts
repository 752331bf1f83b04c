import { kFlagError, type Trace } from '../../model/trace.ts';
import { read_paint, slot_color } from './paint.ts';

const kErrorBand = 4;
const kHandle = 7;
/** Shorter runs of pixels are written one by one. */
const kFillMin = 24;
/** A larger trace shows its rows first. */
const kLargeTrace = 200_000;
const kAfterRowsMs = 40;

/**
 * The whole trace as pixels: time across, depth down, colour by service, errors as ticks on the top edge, and a brush for the window.
 * The picture is written as pixels once per size and theme; moving the brush only moves elements.
 */
export class Minimap {
  private readonly canvas: HTMLCanvasElement;
  private readonly left_shade: HTMLElement;
  private readonly right_shade: HTMLElement;
  private readonly frame_box: HTMLElement;
  private readonly observer: ResizeObserver;
  private later = 0;
  private from: number;
  private to: number;
  private dark: boolean;
  private readonly host: HTMLElement;
  private readonly trace: Trace;
  private readonly on_window: (from: number, to: number, settled: boolean) => void;

  constructor(host: HTMLElement, trace: Trace, dark: boolean, on_window: (from: number, to: number, settled: boolean) => void) {
    this.host = host;
    this.trace = trace;
    this.on_window = on_window;
    this.dark = dark;
    this.from = trace.first;
    this.to = trace.first + trace.duration;
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('aria-hidden', 'true');
    host.append(this.canvas);
    this.left_shade = this.part('mm-shade');
    this.right_shade = this.part('mm-shade');
    this.frame_box = this.part('mm-window');
    host.addEventListener('pointerdown', (event) => this.on_down(event));
    host.addEventListener('dblclick', () => this.on_window(trace.first, trace.first + trace.duration, true));
    this.observer = new ResizeObserver(() => {
      if (trace.n <= kLargeTrace) return this.draw();
      clearTimeout(this.later);
      this.later = window.setTimeout(() => this.draw(), kAfterRowsMs);
    });
    this.observer.observe(host);
  }

  destroy(): void {
    this.observer.disconnect();
    clearTimeout(this.later);
  }

  private part(name: string): HTMLElement {
    const element = document.createElement('div');
    element.className = name;
    this.host.append(element);
    return element;
  }

  set_theme(dark: boolean): void {
    this.dark = dark;
    this.draw();
  }

  set_window(from: number, to: number): void {
    this.from = from;
    this.to = to;
    this.place();
  }

  private place(): void {
    const { first, duration } = this.trace;
    const left = (100 * (this.from - first)) / duration;
    const right = (100 * (this.to - first)) / duration;
    this.left_shade.style.left = '0';
    this.left_shade.style.width = `${left}%`;
    this.right_shade.style.left = `${right}%`;
    this.right_shade.style.right = '0';
    this.frame_box.style.left = `${left}%`;
    this.frame_box.style.width = `max(3px, ${right - left}%)`;
    this.host.classList.toggle('zoomed', right - left < 99.99);
  }

  private draw(): void {
    const dpr = Math.min(2, devicePixelRatio);
    const width = Math.round(this.host.clientWidth * dpr);
    const height = Math.round(this.host.clientHeight * dpr);
    if (width < 2 || height < 2) return;
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext('2d');
    if (!context) return;
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const paint = read_paint(this.dark);
    const colors = Array.from({ length: 24 }, (_, slot) => to_pixel(slot_color(paint, slot)));
    this.write_spans(pixels, width, height, colors, to_pixel(paint.error), dpr);
    context.putImageData(image, 0, 0);
    this.place();
  }

  private write_spans(pixels: Uint32Array, width: number, height: number, colors: number[], error: number, dpr: number): void {
    const { trace } = this;
    const { first, start, dur, depth, service, slots } = trace;
    const top = Math.round(kErrorBand * dpr) + 1;
    const levels = trace.max_depth + 1;
    const room = height - top;
    const level_height = Math.min(8 * dpr, room / levels);
    const bar_height = Math.max(1, Math.floor(level_height) - (level_height >= 3 * dpr ? Math.round(dpr) : 0));
    const scale = width / trace.duration;
    for (let row = 0; row < trace.n; row++) {
      const x0 = Math.max(0, Math.floor((start[row] - first) * scale));
      const x1 = Math.min(width, Math.max(x0 + 1, Math.ceil((start[row] + dur[row] - first) * scale)));
      const y0 = top + Math.floor(depth[row] * level_height);
      const y1 = Math.min(height, y0 + bar_height);
      const color = colors[slots[service[row]]];
      for (let y = y0; y < y1; y++) {
        const stop = y * width + x1;
        if (x1 - x0 > kFillMin) pixels.fill(color, y * width + x0, stop);
        else for (let at = y * width + x0; at < stop; at++) pixels[at] = color;
      }
    }
    for (const row of trace.error_rows) {
      if (!(trace.flags[row] & kFlagError)) continue;
      const x = Math.min(width - 1, Math.max(0, Math.floor((trace.start[row] - trace.first) * scale)));
      const x1 = Math.min(width, x + Math.ceil(2 * dpr));
      for (let y = 0; y < kErrorBand * dpr; y++) pixels.fill(error, y * width + x, y * width + x1);
    }
  }

  private on_down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const box = this.host.getBoundingClientRect();
    const { first, duration } = this.trace;
    const time = (x: number): number => first + (Math.max(0, Math.min(box.width, x - box.left)) / box.width) * duration;
    const x_left = box.left + ((this.from - first) / duration) * box.width;
    const x_right = box.left + ((this.to - first) / duration) * box.width;
    const zoomed = this.to - this.from < duration * 0.9999;
    const begin = event.clientX;
    const window = [this.from, this.to];
    // A handle resizes, the inside of a window moves it, anywhere else draws a new one.
    const near = (x: number): boolean => zoomed && Math.abs(begin - x) <= kHandle;
    const mode = near(x_left) ? 'left' : near(x_right) ? 'right' : zoomed && begin > x_left && begin < x_right ? 'move' : 'new';
    this.host.setPointerCapture(event.pointerId);
    const change = (x: number): [number, number] => {
      const t = time(x);
      if (mode === 'left') return [Math.min(t, window[1] - 1), window[1]];
      if (mode === 'right') return [window[0], Math.max(t, window[0] + 1)];
      if (mode === 'new') return [Math.min(time(begin), t), Math.max(time(begin), t)];
      const span = window[1] - window[0];
      const from = Math.max(first, Math.min(first + duration - span, window[0] + t - time(begin)));
      return [from, from + span];
    };
    const move = (e: PointerEvent): void => {
      if (Math.abs(e.clientX - begin) < 3) return;
      const [from, to] = change(e.clientX);
      if (to - from >= 1) this.on_window(from, to, false);
    };
    const finish = (e: PointerEvent): void => {
      this.host.removeEventListener('pointermove', move);
      if (Math.abs(e.clientX - begin) < 3) return;
      const [from, to] = change(e.clientX);
      if (to - from >= 1) this.on_window(from, to, true);
    };
    this.host.addEventListener('pointermove', move);
    this.host.addEventListener('pointerup', finish, { once: true });
    this.host.addEventListener('pointercancel', finish, { once: true });
  }
}

/** #rrggbb to a little-endian RGBA pixel. */
function to_pixel(color: string): number {
  const value = parseInt(color.replace('#', '').slice(0, 6), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
