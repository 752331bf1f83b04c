import { useEffect, useLayoutEffect } from 'preact/hooks';
import { count, day_and_clock, duration, plural } from '../../model/format.ts';
import { kFlagOrphan } from '../../model/trace.ts';
import { quote, with_query } from '../../model/url.ts';
import { can_analyse } from '../../state/analysis.ts';
import { announce, page_commands, page_link } from '../../state/app.ts';
import { is_pinned, load_pins, type Pin, toggle_pin } from '../../state/pins.ts';
import { neighbour, results } from '../../state/results.ts';
import { go, place, replace } from '../../state/router.ts';
import { Icon, kIcons, Service } from '../../widgets/bits.tsx';
import { Copy } from '../../widgets/copy.tsx';
import type { ViewState } from './view_state.ts';

export function Head(props: { view: ViewState }) {
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
        <div class="trace-actions">
          {props.view.is_stored && <Actions view={props.view} />}
          <span class="trace-id mono">
            <span title={id}>{id.slice(0, 8)}…</span>
            <Copy text={id} what="trace id" />
          </span>
        </div>
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
        {trace.header.weight > 1 && <li class="sampled" title="The program that sent it kept one of so many; counts of spans are adjusted">sampled 1 in {count(trace.header.weight)}</li>}
        {props.view.is_stored && (
          <li>
            <a href="/sampling" title="Why this trace is kept, and for how long">{trace.header.keptBy ? `kept by ${trace.header.keptBy}` : 'kept, as everything is'}</a>
          </li>
        )}
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

function endpoint_of(view: ViewState): string {
  const { trace } = view;
  if (trace.n === 0 || trace.has(0, kFlagOrphan)) return '';
  return `{ rootServiceName = ${quote(trace.service_of(0))} && rootName = ${quote(trace.name_of(0))} }`;
}

/** What can be done with the trace as a whole; Ctrl+K has the same. */
function Actions(props: { view: ViewState }) {
  const { view } = props;
  const { id } = view;
  const endpoint = can_analyse() ? endpoint_of(view) : '';
  const compare = `/compare?a=${id}`;
  const usual = `/compare?${new URLSearchParams({ a: id, b: endpoint })}`;
  const pinned = is_pinned(id);
  useEffect(() => void load_pins(), [id]);
  useLayoutEffect(() => {
    page_commands.value = [
      ...(endpoint ? [{ label: 'Compare with its usual', note: 'this trace', run: () => go(usual) }] : []),
      { label: 'Compare with another trace', note: 'this trace', run: () => go(compare) },
      { label: pinned ? 'Let go of the pin' : 'Pin', note: 'this trace', run: () => void toggle_pin(pin_of(view)) },
      { label: 'Write a note', note: 'this trace', run: () => (view.writing_note.value = true) },
    ];
    return () => {
      page_commands.value = [];
    };
  }, [view, pinned, endpoint]);
  return (
    <>
      <a class="compare-link" href={compare} title="Compare this trace with another one">Compare</a>
      {endpoint && <a href={usual} title="Compare with all traces of this endpoint">With its usual</a>}
      <button
        type="button" class={`pin-button${pinned ? ' on' : ''}`} aria-pressed={pinned} onClick={() => void toggle_pin(pin_of(view))}
        title="Lists this trace on Home and in Ctrl+K, for everyone here. A pin does not hold the trace: it goes when its hour is removed."
      >
        <Icon d={kIcons.pin} size={14} />
        {pinned ? 'Pinned' : 'Pin'}
      </button>
      <button type="button" class="note-button" aria-expanded={view.writing_note.value} onClick={() => (view.writing_note.value = !view.writing_note.value)} title="Write a note at this trace or its selected span">
        Note
      </button>
    </>
  );
}

function pin_of(view: ViewState): Pin {
  const { trace, id } = view;
  return {
    trace: id, service: trace.n ? trace.service_of(0) : '', name: trace.n ? trace.name_of(0) : '', start_ms: Number(BigInt(trace.header.t0) / 1000000n), duration_ns: trace.duration,
    errors: trace.error_rows.length,
  };
}

const kSkewRule = 'clock-skew';

/** Clocks that are off: said, with how far, and set right only when that is asked for. */
function Clocks(props: { view: ViewState; rows: number[] }) {
  const { clocks, is_corrected } = props.view;
  if (clocks.length === 0) return null;
  const said = clocks.slice(0, 3).map((one) => `${one.place && one.place !== one.service ? `${one.service} on ${one.place}` : one.service}${is_corrected ? ' moved' : ''} by ${duration(one.ns)} (${plural(one.spans, 'span')})`).join(', ');
  const change = (): void => {
    const params = new URLSearchParams(place.peek().params);
    if (is_corrected) params.delete('clocks');
    else params.set('clocks', 'corrected');
    replace(with_query(place.peek().path, params));
    announce(is_corrected ? 'times as they were sent' : 'clocks corrected');
  };
  return (
    <li class="clocks">
      <Icon d={kIcons.warn} size={14} />
      <span>
        {is_corrected ? 'Shown with corrected clocks: ' : 'Spans start before the ones that called them, so clocks differ: '}
        {said}
        {clocks.length > 3 ? ` and ${clocks.length - 3} more` : ''}.
      </span>
      {props.rows.length > 0 && (
        <button type="button" class="link" onClick={() => props.view.jump(Uint32Array.from(props.rows).sort(), 1, 'place')}>
          show
        </button>
      )}
      <button type="button" class="link" aria-pressed={is_corrected} onClick={change}>
        {is_corrected ? 'Show times as sent' : 'Correct the clocks'}
      </button>
    </li>
  );
}

export function Findings(props: { view: ViewState }) {
  const { header } = props.view.trace;
  const lines: { text: string; rows: number[] }[] = header.findings.filter((f) => f.rule !== kSkewRule || props.view.clocks.length === 0).map((f) => ({ text: f.message, rows: f.rows }));
  if (lines.length === 0 && header.missingParents > 0) {
    lines.push({ text: `${plural(header.missingParents, 'span')} name a parent that has not been received: part of the story is missing.`, rows: [] });
  }
  if (lines.length === 0 && !header.complete) {
    lines.push({ text: 'Not all of this trace is here: its root has not been received, or it is larger than what is read at once.', rows: [] });
  }
  if (lines.length === 0 && props.view.clocks.length === 0) return null;
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
      <Clocks view={props.view} rows={header.findings.find((f) => f.rule === kSkewRule)?.rows ?? []} />
      {lines.length > 4 && <li class="muted">and {lines.length - 4} more</li>}
    </ul>
  );
}
