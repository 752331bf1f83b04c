import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { clock, count, duration } from '../../model/format.ts';
import { type Box, box_of, count_in, type Heat, place_of } from '../../model/heat.ts';
import { dark } from '../../state/app.ts';
import * as texts from '../../texts/texts.ts';

const kHeight = 168;
const kLeft = 58;
const kBottom = 20;

/** Colour of a cell by its share of the fullest one, on a logarithmic scale: one hue, from the ground to strong. */
const kLightRamp = [[232, 236, 250], [164, 174, 235], [94, 100, 206], [48, 42, 140]];
const kDarkRamp = [[34, 38, 66], [62, 74, 150], [74, 156, 178], [214, 236, 120]];

function ramp(share: number, is_dark: boolean): [number, number, number] {
  const stops = is_dark ? kDarkRamp : kLightRamp;
  const at = Math.min(stops.length - 1.0001, share * (stops.length - 1));
  const i = Math.floor(at);
  return [0, 1, 2].map((c) => Math.round(stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - i))) as [number, number, number];
}

/** Every matching span by time and duration. Dragging chooses a box; with the keyboard, arrows move its edges. */
export function Heatmap(props: { heat: Heat; box: Box | null; choose: (box: Box | null) => void }) {
  const { heat, box } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const area = useRef<HTMLDivElement>(null);
  const drag = useSignal<Box | null>(null);
  const is_dark = dark.value;

  useEffect(() => {
    if (canvas.current) paint(canvas.current, heat, is_dark);
  }, [heat, is_dark]);

  const share = (event: PointerEvent): [number, number] => {
    const bounds = (area.current as HTMLDivElement).getBoundingClientRect();
    return [(event.clientX - bounds.left) / bounds.width, 1 - (event.clientY - bounds.top) / bounds.height];
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || !area.current) return;
    const target = area.current;
    const [x0, y0] = share(event);
    target.setPointerCapture(event.pointerId);
    const move = (e: PointerEvent): void => {
      const [x1, y1] = share(e);
      drag.value = box_of(heat, x0, x1, y0, y1);
    };
    const finish = (e: PointerEvent): void => {
      target.removeEventListener('pointermove', move);
      const [x1, y1] = share(e);
      const moved = Math.abs(x1 - x0) > 0.01 || Math.abs(y1 - y0) > 0.03;
      drag.value = null;
      props.choose(moved ? box_of(heat, x0, x1, y0, y1) : null);
    };
    target.addEventListener('pointermove', move);
    target.addEventListener('pointerup', finish, { once: true });
    target.addEventListener('pointercancel', finish, { once: true });
  };
  const key = (event: KeyboardEvent): void => {
    const next = moved_box(heat, box, event);
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    props.choose(next);
  };
  const shown = drag.value ?? box;
  const place = shown && place_of(heat, shown);
  const words = shown ? texts.search.of_chosen(count(count_in(heat, shown)), texts.counts.spans(heat.total), box_label(shown)) : texts.search.by_time_and_duration(texts.counts.spans(heat.total));
  return (
    <div class="heat" style={{ height: `${kHeight + kBottom}px` }}>
      <DurationAxis heat={heat} />
      <div
        class="heat-area" ref={area} tabIndex={0} role="group" aria-label={words} style={{ left: `${kLeft}px`, height: `${kHeight}px` }}
        aria-description={texts.search.enter_chooses_the_slowest_part} onPointerDown={down} onKeyDown={key}
      >
        <canvas ref={canvas} aria-hidden="true" />
        {place && (
          <div class="heat-box" style={{ left: `${100 * place.x}%`, bottom: `${100 * place.y}%`, width: `${100 * place.width}%`, height: `${100 * place.height}%` }} />
        )}
      </div>
      <TimeAxis heat={heat} />
    </div>
  );
}

export function box_label(box: Box): string {
  return texts.search.to_to(duration(box.d0), duration(box.d1), clock(box.t0), clock(box.t1));
}

/** The box after a key; undefined where the key means nothing here. */
function moved_box(heat: Heat, box: Box | null, event: KeyboardEvent): Box | null | undefined {
  if (event.key === 'Escape') return box ? null : undefined;
  if (event.key === 'Enter' && !box) return box_of(heat, 0, 1, 0.75, 1);
  const x = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0;
  const y = event.key === 'ArrowDown' ? -1 : event.key === 'ArrowUp' ? 1 : 0;
  if (!box || (x === 0 && y === 0)) return undefined;
  const place = place_of(heat, box);
  const first = Math.round(place.x * heat.columns);
  const low = Math.round(place.y * heat.rows);
  const last = first + Math.round(place.width * heat.columns);
  const high = low + Math.round(place.height * heat.rows);
  const cells = event.shiftKey ? [first, Math.max(first + 1, last + x), low, Math.max(low + 1, high + y)] : [first + x, last + x, low + y, high + y];
  if (cells[0] < 0 || cells[1] > heat.columns || cells[2] < 0 || cells[3] > heat.rows) return box;
  const inset = 0.01;
  return box_of(heat, (cells[0] + inset) / heat.columns, (cells[1] - inset) / heat.columns, (cells[2] + inset) / heat.rows, (cells[3] - inset) / heat.rows);
}

/** One pixel a cell; the browser scales it up without smoothing. */
function paint(canvas: HTMLCanvasElement, heat: Heat, is_dark: boolean): void {
  canvas.width = heat.columns;
  canvas.height = heat.rows;
  const context = canvas.getContext('2d');
  if (!context) return;
  const image = context.createImageData(heat.columns, heat.rows);
  const most = Math.log1p(heat.most);
  for (let row = 0; row < heat.rows; row++) {
    for (let column = 0; column < heat.columns; column++) {
      const value = heat.counts[row * heat.columns + column];
      if (value <= 0) continue;
      const at = ((heat.rows - 1 - row) * heat.columns + column) * 4;
      image.data.set([...ramp(0.08 + 0.92 * (Math.log1p(value) / most), is_dark), 255], at);
    }
  }
  context.putImageData(image, 0, 0);
}

function DurationAxis(props: { heat: Heat }) {
  const { heat } = props;
  const every = Math.max(1, Math.ceil((18 * heat.rows) / kHeight));
  const rows = Array.from({ length: heat.rows + 1 }, (_, row) => row).filter((row) => row % every === 0);
  return (
    <div class="heat-durations" aria-hidden="true" style={{ width: `${kLeft - 6}px`, height: `${kHeight}px` }}>
      {rows.map((row) => (
        <span key={row} style={{ bottom: `${(100 * row) / heat.rows}%` }}>
          {duration(2 ** (heat.first_power + row))}
        </span>
      ))}
    </div>
  );
}

function TimeAxis(props: { heat: Heat }) {
  const { heat } = props;
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return (
    <div class="heat-times" aria-hidden="true" style={{ left: `${kLeft}px` }}>
      {marks.map((share) => (
        <span key={share} style={{ left: `${100 * share}%` }}>
          {clock(heat.t0 + share * heat.columns * heat.step)}
        </span>
      ))}
    </div>
  );
}
