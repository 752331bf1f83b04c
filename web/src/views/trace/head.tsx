import { count, day_and_clock, duration, plural } from '../../model/format.ts';
import { page_link } from '../../state/app.ts';
import { neighbour, results } from '../../state/results.ts';
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
        {props.view.is_stored && <a class="compare-link" href={`/compare?a=${id}`} title="Compare this trace with another one">Compare</a>}
        {props.view.is_stored && (
          <button type="button" class="note-button" aria-expanded={props.view.writing_note.value} onClick={() => (props.view.writing_note.value = !props.view.writing_note.value)} title="Write a note at this trace or its selected span">
            Note
          </button>
        )}
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

export function Findings(props: { view: ViewState }) {
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
