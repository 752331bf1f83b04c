import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ApiError, as_api_error, fetch_skeleton, is_abort } from '../../api/client.ts';
import { count, day_and_clock, duration, plural } from '../../model/format.ts';
import { decode_skeleton } from '../../model/slt1.ts';
import { kFlagCritical, Trace } from '../../model/trace.ts';
import { read_trace } from '../../model/url.ts';
import { announce, dark, load_stored, narrow, now_ns, page_link, store } from '../../state/app.ts';
import { push_keys } from '../../state/keys.ts';
import { neighbour, results } from '../../state/results.ts';
import { go, place } from '../../state/router.ts';
import { Failure, Icon, kIcons, Loading, Service } from '../../widgets/bits.tsx';
import { Copy, copy_text } from '../../widgets/copy.tsx';
import { Detail } from './detail.tsx';
import { Minimap } from './minimap.ts';
import { ViewState } from './view_state.ts';
import { Waterfall } from './waterfall.ts';

const kYoungMs = 60_000;
const kGrowPollMs = 3_000;
const kGrowPolls = 20;

export function TracePage(props: { id: string }) {
  const view = useSignal<ViewState | null>(null);
  const error = useSignal<ApiError | null>(null);
  const grown = useSignal<{ by: number; bytes: ArrayBuffer } | null>(null);
  const attempt = useSignal(0);

  const adopt = (bytes: ArrayBuffer): void => {
    const next = new ViewState(props.id, new Trace(decode_skeleton(bytes)));
    next.panel.value = view.value ? view.value.panel.value : next.trace.header.sel >= 0 || wide_enough();
    view.value?.destroy();
    view.value = next;
    grown.value = null;
  };

  useEffect(() => {
    const stop = new AbortController();
    view.value?.destroy();
    view.value = null;
    error.value = null;
    document.title = 'Trace · spanloom';
    fetch_skeleton(props.id, read_trace(place.value.params).span, stop.signal)
      .then((bytes) => {
        if (stop.signal.aborted) return;
        adopt(bytes);
        const loaded = view.value;
        if (!loaded) return;
        document.title = `${loaded.trace.n ? loaded.trace.name_of(0) : props.id.slice(0, 8)} · ${duration(loaded.trace.duration)} · spanloom`;
        watch_growth(props.id, loaded.trace, stop.signal, (by, more) => (grown.value = { by, bytes: more }));
      })
      .catch((problem: unknown) => {
        if (!is_abort(problem) && !stop.signal.aborted) error.value = as_api_error(problem);
      });
    return () => {
      stop.abort();
      view.value?.destroy();
    };
  }, [props.id, attempt.value]);

  if (error.value) return <TraceFailure id={props.id} error={error.value} retry={() => attempt.value++} />;
  if (!view.value) {
    return (
      <main class="page" id="main" tabIndex={-1}>
        <h1 class="visually-hidden">Trace {props.id}</h1>
        <Loading what="Loading the trace" cancel={() => history.back()} />
      </main>
    );
  }
  return (
    <main class="trace-page" id="main" tabIndex={-1}>
      <Head view={view.value} />
      <Findings view={view.value} />
      {grown.value && (
        <p class="banner" role="status">
          {plural(grown.value.by, 'new span')} arrived.{' '}
          <button type="button" onClick={() => grown.value && adopt(grown.value.bytes)}>
            Show
          </button>
        </p>
      )}
      <Body key={`${props.id} ${view.value.trace.n}`} view={view.value} />
    </main>
  );
}

function wide_enough(): boolean {
  return window.innerWidth >= 1180 && load_stored('detail') !== 'closed';
}

/** A trace that has just begun may still grow: asks a few times and offers what is new. */
function watch_growth(id: string, trace: Trace, signal: AbortSignal, found: (by: number, bytes: ArrayBuffer) => void): void {
  const age = Number(now_ns() / 1000000n) - (Number(BigInt(trace.header.t0) / 1000000n) + trace.duration / 1e6);
  if (age > kYoungMs) return;
  let asked = 0;
  const timer = setInterval(() => {
    if (signal.aborted || ++asked > kGrowPolls) {
      clearInterval(timer);
      return;
    }
    fetch_skeleton(id, read_trace(place.value.params).span, signal)
      .then((bytes) => {
        const more = decode_skeleton(bytes).header.n - trace.n;
        if (more > 0 && !signal.aborted) found(more, bytes);
      })
      .catch(() => undefined); // The page already shows the trace; a failed question for more of it changes nothing.
  }, kGrowPollMs);
  signal.addEventListener('abort', () => clearInterval(timer));
}

function TraceFailure(props: { id: string; error: ApiError; retry: () => void }) {
  const missing = props.error.status === 404;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{missing ? 'This trace is not here' : 'The trace could not be loaded'}</h1>
      <p class="mono wrap">{props.id}</p>
      <Failure error={props.error} retry={props.retry} />
      {missing && (
        <ul class="plain">
          <li>It may still be on its way: spans can be seen within a second of their arrival.</li>
          <li>It may be older than what this server keeps.</li>
          <li>
            The id may be from another environment. <a href={page_link('/search')}>Search for it instead</a>.
          </li>
        </ul>
      )}
    </main>
  );
}

function Head(props: { view: ViewState }) {
  const { trace, id } = props.view;
  const services = trace.service_counts();
  const start_ms = Number(BigInt(trace.header.t0) / 1000000n);
  const before = neighbour(id, -1);
  const after = neighbour(id, 1);
  const shown = services.slice(0, 8);
  return (
    <header class="trace-head">
      <div class="trace-title">
        <nav class="crumbs" aria-label="Results">
          <a href={results.value?.url ?? page_link('/search')} title="Back to the results">
            <Icon d={kIcons.left} size={14} /> Results
          </a>
          {(before || after) && (
            <span class="walk">
              {before ? <a href={`/trace/${before}`} title="Previous result ( [ )" aria-label="Previous result"><Icon d={kIcons.up} size={14} /></a> : null}
              {after ? <a href={`/trace/${after}`} title="Next result ( ] )" aria-label="Next result"><Icon d={kIcons.down} size={14} /></a> : null}
            </span>
          )}
        </nav>
        <h1>
          {trace.n > 0 ? (
            <>
              <Service name={trace.service_of(0)} slot={trace.slots[trace.service[0]]} />
              <span class="trace-name">{trace.name_of(0)}</span>
            </>
          ) : (
            'Empty trace'
          )}
        </h1>
        <span class="trace-id mono">
          <span title={id}>{id.slice(0, 8)}…</span>
          <Copy text={id} what="trace id" />
        </span>
      </div>
      <ul class="trace-facts">
        <li>
          <strong class="big">{duration(trace.duration)}</strong>
        </li>
        <li>
          <strong>{count(trace.n)}</strong> {trace.n === 1 ? 'span' : 'spans'}
        </li>
        <li>
          <strong>{services.length}</strong> {services.length === 1 ? 'service' : 'services'}
        </li>
        <li class={trace.error_rows.length ? 'has-errors' : ''}>
          {trace.error_rows.length ? (
            <button type="button" class="error-pill" onClick={() => props.view.next_error(1)} title="Go to the next error (e)">
              <span aria-hidden="true">✕</span> {plural(trace.error_rows.length, 'error')}
            </button>
          ) : (
            'no errors'
          )}
        </li>
        <li title={day_and_clock(start_ms)}>
          <time dateTime={new Date(start_ms).toISOString()}>{day_and_clock(start_ms)}</time>
        </li>
        {trace.header.weight > 1 && <li class="sampled">sampled 1 in {count(trace.header.weight)}</li>}
        {trace.header.keptBy && <li class="sampled">kept by {trace.header.keptBy}</li>}
      </ul>
      <ul class="legend" aria-label="Services of the trace">
        {shown.map((entry) => (
          <li key={entry.service}>
            <button type="button" class="chip" onClick={() => props.view.set_find(trace.header.services[entry.service])} title="Find the spans of this service">
              <Service name={trace.header.services[entry.service]} slot={trace.slots[entry.service]} />
              <span class="muted">{count(entry.spans)}</span>
              {entry.errors > 0 && (
                <span class="error-text" title={plural(entry.errors, 'error')}>
                  <span aria-hidden="true">✕</span>
                  {count(entry.errors)}
                  <span class="visually-hidden"> errors</span>
                </span>
              )}
            </button>
          </li>
        ))}
        {services.length > shown.length && <li class="muted">and {services.length - shown.length} more</li>}
      </ul>
    </header>
  );
}

function Findings(props: { view: ViewState }) {
  const { header } = props.view.trace;
  const lines: { text: string; rows: number[] }[] = header.findings.map((f) => ({ text: f.message, rows: f.rows }));
  if (lines.length === 0 && header.missingParents > 0) {
    lines.push({ text: `${plural(header.missingParents, 'span')} name a parent that has not been received: part of the story is missing.`, rows: [] });
  }
  if (lines.length === 0 && !header.complete) {
    lines.push({ text: 'Not all of this trace is here: its root has not been received, or it is larger than what is read at once.', rows: [] });
  }
  if (lines.length === 0) return null;
  return (
    <ul class="findings" aria-label="Findings">
      {lines.slice(0, 4).map((line, i) => (
        <li key={i}>
          <Icon d={kIcons.warn} size={14} />
          <span>{line.text}</span>
          {line.rows.length > 0 && (
            <button type="button" class="link" onClick={() => props.view.jump(Uint32Array.from(line.rows).sort(), 1, 'place')}>
              show
            </button>
          )}
        </li>
      ))}
      {lines.length > 4 && <li class="muted">and {lines.length - 4} more</li>}
    </ul>
  );
}

function Body(props: { view: ViewState }) {
  const { view } = props;
  const host = useRef<HTMLDivElement>(null);
  const map_host = useRef<HTMLDivElement>(null);
  const find_field = useRef<HTMLInputElement>(null);
  const waterfall = useRef<Waterfall | null>(null);
  const name_width = useSignal(Math.min(Number(load_stored('name-width')) || 400, Math.max(200, window.innerWidth * 0.4)));

  const close_panel = (): void => {
    view.panel.value = false;
    store('detail', 'closed');
    waterfall.current?.scroller.focus();
  };
  const open_panel = (): void => {
    view.panel.value = true;
    store('detail', 'open');
  };

  useEffect(() => {
    if (!host.current || !map_host.current) return;
    const { trace } = view;
    const set_window = (from: number, to: number): void => view.set_window(from, to);
    const map = new Minimap(map_host.current, trace, dark.peek(), set_window);
    const fall = new Waterfall(host.current, trace, {
      select: (row, how) => {
        view.select(row);
        if (how === 'pointer') open_panel();
      },
      toggle: (row) => view.toggle(row),
      window: set_window,
      fit: (row) => view.fit(row),
    }, dark.peek());
    waterfall.current = fall;
    (window as { spanloom_waterfall?: Waterfall }).spanloom_waterfall = fall;
    const stops = [
      effect(() => fall.set_layout(name_width.value, narrow.value)),
      effect(() => fall.set_rows(view.rows.value, view.collapsed.value)),
      effect(() => {
        fall.set_selected(view.selected.value);
        fall.scroll_to(view.selected.value);
      }),
      effect(() => {
        const at = view.match_at.value;
        fall.set_matches(view.match_mask.value, at >= 0 ? view.matches.value[at] : -1);
      }),
      effect(() => {
        fall.set_window(view.window.value[0], view.window.value[1]);
        map.set_window(view.window.value[0], view.window.value[1]);
      }),
      effect(() => {
        const is_dark = dark.value;
        // The tokens of the new theme are in force after the attribute has been written.
        queueMicrotask(() => {
          fall.set_theme(is_dark);
          map.set_theme(is_dark);
        });
      }),
    ];
    const first = requestAnimationFrame(() => {
      fall.scroll_to(view.selected.value);
      if (document.activeElement === document.body) fall.scroller.focus({ preventScroll: true });
    });
    return () => {
      cancelAnimationFrame(first);
      for (const stop of stops) stop();
      fall.destroy();
      map.destroy();
      delete (window as { spanloom_waterfall?: Waterfall }).spanloom_waterfall;
    };
  }, [view]);

  useEffect(() => push_keys(keys_of(view, waterfall, find_field, open_panel, close_panel)), [view]);

  return (
    <div class={`trace-body${view.panel.value ? ' with-panel' : ''}`}>
      <div class="trace-main" style={{ '--name-width': `${name_width.value}px` }}>
        <Toolbar view={view} field={find_field} waterfall={waterfall} />
        <div class="minimap-line">
          <div class="minimap-note" aria-hidden="true">whole trace</div>
          <div class="minimap" ref={map_host} title="Drag to choose a time window, double click for all of it" />
        </div>
        <div class="waterfall" ref={host} />
        <Splitter width={name_width.value} change={(width) => {
          name_width.value = width;
          store('name-width', String(width));
        }} />
      </div>
      {view.panel.value && <Detail view={view} close={close_panel} />}
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
      class="splitter" role="separator" aria-orientation="vertical" aria-label="Width of the names" tabIndex={0}
      aria-valuenow={props.width} aria-valuemin={160} aria-valuemax={900} onPointerDown={down} onKeyDown={key}
    />
  );
}

function Toolbar(props: { view: ViewState; field: { current: HTMLInputElement | null }; waterfall: { current: Waterfall | null } }) {
  const { view } = props;
  const total = view.matches.value.length;
  const searching = view.find.value.trim() !== '';
  const all_open = view.rows.value.length === view.trace.n;
  const zoom = (factor: number): void => props.waterfall.current?.zoom(factor);
  return (
    <div class="toolbar" role="toolbar" aria-label="Trace tools">
      <div class="find">
        <Icon d={kIcons.search} size={14} />
        <input
          type="search" ref={props.field} value={view.find.value} placeholder="Find in the trace  ( / )" aria-label="Find in the trace"
          onInput={(e) => view.set_find(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter') {
              e.preventDefault();
              view.next_match(e.shiftKey ? -1 : 1);
            }
            if (e.key === 'Escape') {
              e.preventDefault();
              e.stopPropagation();
              if (view.find.value) view.set_find('');
              props.waterfall.current?.scroller.focus();
            }
          }}
        />
        {searching && (
          <span class="find-count">
            {total === 0 ? 'none' : `${view.match_at.value >= 0 ? count(view.match_at.value + 1) : '–'} / ${count(total)}`}
          </span>
        )}
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(-1)} aria-label="Previous match" title="Previous match (N)">
          <Icon d={kIcons.up} />
        </button>
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(1)} aria-label="Next match" title="Next match (n)">
          <Icon d={kIcons.down} />
        </button>
      </div>
      <div class="group">
        <button type="button" onClick={() => view.collapse_to(1)} disabled={view.trace.max_depth < 1} title="Fold to the first level; x steps through the levels">
          Fold
        </button>
        <button type="button" onClick={() => view.unfold_all()} disabled={all_open} title="Show every row">
          Unfold all
        </button>
        {!all_open && <span class="muted small">{count(view.rows.value.length)} of {count(view.trace.n)} rows</span>}
      </div>
      <div class="group right">
        {!view.full.value && (
          <span class="window-label">
            {duration(view.window.value[0])} – {duration(view.window.value[1])}
          </span>
        )}
        <button type="button" class="quiet" onClick={() => zoom(0.5)} aria-label="Zoom in" title="Zoom in (w)">
          <Icon d={kIcons.plus} />
        </button>
        <button type="button" class="quiet" onClick={() => zoom(2)} disabled={view.full.value} aria-label="Zoom out" title="Zoom out (s)">
          <Icon d={kIcons.minus} />
        </button>
        <button type="button" class="quiet" onClick={() => view.fit(view.selected.value)} aria-label="Fit the selected span" title="Fit the selected span (f)">
          <Icon d={kIcons.fit} />
        </button>
        <button type="button" onClick={() => view.show_all()} disabled={view.full.value} title="Show the whole time (0)">
          All
        </button>
      </div>
    </div>
  );
}

type Handler = (event: KeyboardEvent) => void;

/** Keys of the rows work when the focus is on the rows or nowhere; in the panel the arrows scroll it. */
function in_rows(event: KeyboardEvent): boolean {
  const target = event.target;
  return !(target instanceof Element) || target === document.body || target.id === 'main' || target.closest('.wf-scroll') !== null;
}

function keys_of(
  view: ViewState, fall: { current: Waterfall | null }, field: { current: HTMLInputElement | null }, open: () => void, close: () => void,
): Record<string, Handler> {
  const rows = (action: () => void): Handler => (event) => {
    if (!in_rows(event)) return;
    event.preventDefault();
    action();
  };
  const any = (action: () => void): Handler => (event) => {
    event.preventDefault();
    action();
  };
  const page = (): number => fall.current?.page_rows() ?? 20;
  const walk = (step: 1 | -1): void => {
    const next = neighbour(view.id, step);
    if (next) go(`/trace/${next}`);
    else announce(step === 1 ? 'this is the last result' : 'this is the first result');
  };
  const critical = (): void => {
    const list = Array.from({ length: view.trace.n }, (_, row) => row).filter((row) => view.trace.has(row, kFlagCritical));
    view.jump(Uint32Array.from(list), 1, 'critical path');
  };
  const escape = (event: KeyboardEvent): void => {
    event.preventDefault();
    if (view.find.value) view.set_find('');
    else if (!view.full.value) view.show_all();
    else if (view.panel.value) close();
  };
  const enter = (): void => {
    open();
    requestAnimationFrame(() => document.getElementById('detail')?.focus());
  };
  return {
    j: any(() => view.move(1)), k: any(() => view.move(-1)), h: any(() => view.left()), l: any(() => view.right()),
    ArrowDown: rows(() => view.move(1)), ArrowUp: rows(() => view.move(-1)),
    ArrowLeft: rows(() => view.left()), ArrowRight: rows(() => view.right()),
    Home: rows(() => view.select(0)), End: rows(() => view.select(view.rows.value[view.rows.value.length - 1])),
    PageDown: rows(() => view.move(page())), PageUp: rows(() => view.move(-page())),
    Enter: rows(enter), ' ': rows(() => view.trace.foldable(view.selected.value) && view.toggle(view.selected.value)),
    e: any(() => view.next_error(1)), E: any(() => view.next_error(-1)),
    n: any(() => view.next_match(1)), N: any(() => view.next_match(-1)), p: any(critical),
    w: any(() => fall.current?.zoom(0.6)), s: any(() => fall.current?.zoom(1 / 0.6)),
    a: any(() => fall.current?.pan(-0.2)), d: any(() => fall.current?.pan(0.2)),
    f: any(() => view.fit(view.selected.value)), 0: any(() => view.show_all()),
    '/': any(() => field.current?.select()), x: any(() => view.next_level()),
    '[': any(() => walk(-1)), ']': any(() => walk(1)),
    c: any(() => void copy_text(view.link_to_span(), 'link to this span')),
    y: any(() => void copy_text(view.detail.value?.row === view.selected.value ? view.detail.value.span_id : view.id, 'id')),
    Escape: escape,
  };
}
