import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { TraceSummary } from '../../api/types.ts';
import { clock, day_and_clock, duration } from '../../model/format.ts';
import { ticks } from '../../model/ticks.ts';
import { look } from '../../state/app.ts';
import { go } from '../../state/router.ts';
import { read_paint } from '../trace/paint.ts';
import * as texts from '../../texts/texts.ts';

const kHeight = 148;
const kLeft = 56;
const kBottom = 20;
const kTop = 8;
const kRight = 12;
const kReach = 14;

interface Point {
  x: number;
  y: number;
  radius: number;
  trace: TraceSummary;
}

const ms_of = (trace: TraceSummary): number => Number(BigInt(trace.start_ns) / 1000000n);

/** Results by time and duration (log scale). The list below has the same traces, so the picture is hidden from screen readers. */
export function Scatter(props: { traces: TraceSummary[]; from: bigint; to: bigint }) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const points = useRef<Point[]>([]);
  const width = useSignal(0);
  const hover = useSignal<Point | null>(null);
  const { dark: is_dark } = look.value;

  useEffect(() => {
    if (!host.current) return;
    const observer = new ResizeObserver(() => (width.value = host.current?.clientWidth ?? 0));
    observer.observe(host.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (canvas.current && width.value > 80) points.current = draw(canvas.current, width.value, props.traces, props.from, props.to, is_dark);
  }, [props.traces, props.from, props.to, width.value, look.value]);

  const nearest = (event: MouseEvent): Point | null => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    let best: Point | null = null;
    let distance = kReach;
    for (const point of points.current) {
      const away = Math.hypot(point.x - x, point.y - y);
      if (away < distance) [best, distance] = [point, away];
    }
    return best;
  };
  const at = hover.value;
  return (
    <div
      class={`scatter${at ? ' pointing' : ''}`} ref={host} aria-hidden="true"
      onMouseMove={(e) => (hover.value = nearest(e))} onMouseLeave={() => (hover.value = null)}
      onClick={(e) => {
        const point = nearest(e);
        if (point) go(`/trace/${point.trace.id}`);
      }}
    >
      <canvas ref={canvas} />
      {at && (
        <>
          <div class="scatter-ring" style={{ left: `${at.x}px`, top: `${at.y}px` }} />
          <div class={`tip${at.x > width.value * 0.6 ? ' to-left' : ''}`} style={{ left: `${at.x}px`, top: `${at.y}px` }}>
            <strong>{at.trace.root_service ?? texts.search.root_not_received}</strong> {at.trace.root_name ?? ''}
            <br />
            {duration(Number(at.trace.duration_ns))} · {texts.counts.spans(at.trace.spans)}{at.trace.errors ? ` · ${texts.counts.errors(at.trace.errors)}` : ''} · {clock(ms_of(at.trace))}
          </div>
        </>
      )}
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, width: number, traces: TraceSummary[], from: bigint, to: bigint, is_dark: boolean): Point[] {
  const dpr = devicePixelRatio;
  canvas.width = Math.round(width * dpr);
  canvas.height = Math.round(kHeight * dpr);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${kHeight}px`;
  const context = canvas.getContext('2d');
  if (!context) return [];
  const paint = read_paint(is_dark);
  context.setTransform(dpr, 0, 0, dpr, 0, 0);
  context.clearRect(0, 0, width, kHeight);
  context.font = paint.font;
  const [t0, t1] = time_span(traces, Number(from / 1000000n), Number(to / 1000000n));
  const logs = traces.map((t) => Math.log10(Math.max(1000, Number(t.duration_ns))));
  const high = Math.ceil((logs.length ? Math.max(...logs) : 9) + 0.15);
  const low = Math.min(high - 2, Math.floor((logs.length ? Math.min(...logs) : 6) - 0.15));
  const x = (ms: number): number => kLeft + ((ms - t0) / (t1 - t0)) * (width - kLeft - kRight);
  const y = (log: number): number => kTop + (1 - (log - low) / (high - low)) * (kHeight - kTop - kBottom);
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (let decade = Math.ceil(low); decade <= high; decade++) {
    context.fillStyle = paint.grid;
    context.fillRect(kLeft, Math.round(y(decade)), width - kLeft - kRight, 1);
    context.fillStyle = paint.muted;
    context.fillText(duration(10 ** decade), kLeft - 8, y(decade));
  }
  context.textAlign = 'center';
  for (const t of time_ticks(t0, t1, Math.max(2, Math.floor(width / 140)))) {
    context.fillStyle = paint.grid;
    context.fillRect(Math.round(x(t)), kTop, 1, kHeight - kTop - kBottom);
    context.fillStyle = paint.muted;
    context.fillText(t1 - t0 > 86_400_000 ? day_and_clock(t).slice(5, 16) : t1 - t0 > 600_000 ? clock(t).slice(0, 5) : clock(t), x(t), kHeight - 8);
  }
  const points = traces.map((trace, i) => ({ x: x(ms_of(trace)), y: y(logs[i]), radius: Math.min(7, 2.5 + Math.log10(1 + trace.spans) * 1.1), trace }));
  // Errors are drawn last and as crosses: seen without colour too.
  for (const point of points) if (!point.trace.errors) dot(context, point, paint.accent);
  for (const point of points) if (point.trace.errors) cross(context, point, paint.error);
  return points;
}

function dot(context: CanvasRenderingContext2D, point: Point, color: string): void {
  context.globalAlpha = 0.55;
  context.fillStyle = color;
  context.beginPath();
  context.arc(point.x, point.y, point.radius, 0, 7);
  context.fill();
  context.globalAlpha = 1;
}

function cross(context: CanvasRenderingContext2D, point: Point, color: string): void {
  const r = point.radius * 0.8;
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(point.x - r, point.y - r);
  context.lineTo(point.x + r, point.y + r);
  context.moveTo(point.x + r, point.y - r);
  context.lineTo(point.x - r, point.y + r);
  context.stroke();
}

/** The asked range, or the part of it that has traces when that is a small part. */
function time_span(traces: TraceSummary[], from: number, to: number): [number, number] {
  if (traces.length < 2) return [from, to];
  const times = traces.map(ms_of);
  const low = Math.min(...times);
  const high = Math.max(...times);
  if (high - low > (to - from) * 0.3) return [from, to];
  const room = Math.max(1000, (high - low) * 0.06);
  return [low - room, high + room];
}

/** Round times: ticks of 1, 2, 5 × 10^n seconds are not what clocks show. */
function time_ticks(from: number, to: number, most: number): number[] {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].map((s) => s * 1000);
  const step = steps.find((s) => (to - from) / s <= most);
  if (!step) return ticks(from, to, most);
  const zone = new Date(from).getTimezoneOffset() * 60000;
  const out: number[] = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) out.push(t);
  return out;
}
