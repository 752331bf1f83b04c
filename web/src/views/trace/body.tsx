import { effect, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { dark, load_stored, look, store } from '../../state/app.ts';
import { duration } from '../../model/format.ts';
import { push_keys } from '../../state/keys.ts';
import { Detail } from './detail.tsx';
import { FlameView } from './flame_view.tsx';
import { GraphView } from './graph_view.tsx';
import { keys_of, type Zoomable } from './keys.ts';
import { LogView } from './log_view.tsx';
import { Minimap } from './minimap.ts';
import { TableView } from './table_view.tsx';
import { Toolbar } from './toolbar.tsx';
import type { ViewState } from './view_state.ts';
import { WaterfallView } from './waterfall_view.tsx';
import * as texts from '../../texts/texts.ts';

/** The views of a trace, what they share (tools, minimap, keys), and the panel of the selected span. */
export function Body(props: { view: ViewState }) {
  const { view } = props;
  const find_field = useRef<HTMLInputElement>(null);
  const picture = useRef<Zoomable | null>(null);
  const name_width = useSignal(Math.min(Number(load_stored('name-width')) || 400, Math.max(200, window.innerWidth * 0.4)));
  const close_panel = (): void => {
    view.panel.value = false;
    store('detail', 'closed');
    picture.current?.scroller.focus();
  };
  const open_panel = (): void => {
    view.panel.value = true;
    store('detail', 'open');
  };

  useLayoutEffect(() => push_keys(keys_of(view, picture, find_field, open_panel, close_panel)), [view]);

  const shown = view.view.value;
  const has_time = shown === 'waterfall' || (shown === 'flame' && !view.merged.value);
  return (
    <div class={`trace-body${view.panel.value ? ' with-panel' : ''}`}>
      <div class="trace-main" style={{ '--name-width': `${name_width.value}px` }}>
        <Toolbar view={view} field={find_field} picture={picture} />
        {has_time && <MinimapLine view={view} whole={shown === 'flame'} />}
        {shown === 'waterfall' && <WaterfallView view={view} zoomable={picture} name_width={name_width} open={open_panel} />}
        {shown === 'flame' && <FlameView view={view} zoomable={picture} open={open_panel} />}
        {shown === 'graph' && <GraphView view={view} />}
        {shown === 'table' && <TableView view={view} />}
        {shown === 'log' && <LogView view={view} open={open_panel} />}
        {shown === 'waterfall' && (
          <Splitter width={name_width.value} change={(width) => {
            name_width.value = width;
            store('name-width', String(width));
          }} />
        )}
      </div>
      {view.panel.value && <Detail view={view} close={close_panel} />}
    </div>
  );
}

function MinimapLine(props: { view: ViewState; whole: boolean }) {
  const { view } = props;
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current) return;
    const map = new Minimap(host.current, view.trace, dark.peek(), (from, to) => view.set_window(from, to));
    const stops = [
      effect(() => map.set_window(view.window.value[0], view.window.value[1])),
      effect(() => {
        const is_dark = look.value.dark;
        queueMicrotask(() => map.set_theme(is_dark));
      }),
    ];
    return () => {
      for (const stop of stops) stop();
      map.destroy();
    };
  }, [view]);
  return (
    <div class={`minimap-line${props.whole ? ' whole' : ''}`}>
      <div class="minimap-note">
        {view.full.value ? texts.trace.whole_trace : <span class="window-label">{duration(view.window.value[0])} – {duration(view.window.value[1])}</span>}
      </div>
      <div class="minimap" ref={host} title={texts.trace.drag_to_choose_a_time_window} />
    </div>
  );
}

function Splitter(props: { width: number; change: (width: number) => void }) {
  const clamp = (width: number): number => Math.max(160, Math.min(window.innerWidth * 0.6, Math.round(width)));
  const down = (event: PointerEvent): void => {
    const target = event.currentTarget as HTMLElement;
    const shift = props.width - event.clientX;
    target.setPointerCapture(event.pointerId);
    const move = (e: PointerEvent): void => props.change(clamp(e.clientX + shift));
    target.addEventListener('pointermove', move);
    target.addEventListener('pointerup', () => target.removeEventListener('pointermove', move), { once: true });
  };
  const key = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowLeft' ? -16 : event.key === 'ArrowRight' ? 16 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    props.change(clamp(props.width + step));
  };
  return (
    <div
      class="splitter" role="separator" aria-orientation="vertical" aria-label={texts.trace.width_of_the_names} tabIndex={0}
      aria-valuenow={props.width} aria-valuemin={160} aria-valuemax={900} onPointerDown={down} onKeyDown={key}
    />
  );
}
