import { useEffect, useLayoutEffect } from 'preact/hooks';
import { count, day_and_clock, duration } from '../../model/format.ts';
import type { Finding } from '../../model/slt1.ts';
import { kFlagLate, kFlagOrphan } from '../../model/trace.ts';
import { quote } from '../../model/url.ts';
import { can_analyse } from '../../state/analysis.ts';
import { announce, page_commands, page_link } from '../../state/app.ts';
import { is_pinned, load_pins, pin, pin_error, type PinnedTrace, unpin } from '../../state/pins.ts';
import { neighbour, results } from '../../state/results.ts';
import { go, here_with, replace } from '../../state/router.ts';
import { Icon, kIcons, Service } from '../../widgets/bits.tsx';
import { Copy } from '../../widgets/copy.tsx';
import { exports_of, take_along } from './export.ts';
import { KeptFact, turn_why } from './kept.tsx';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

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
        <nav class="crumbs" aria-label={texts.trace.results}>
          <a href={results.value?.url ?? page_link('/search')} title={texts.trace.back_to_the_results}>
            <Icon d={kIcons.left} size={14} /> {texts.trace.results}
          </a>
          {(before || after) && (
            <span class="walk">
              {before ? <a href={`/trace/${before}`} title={texts.trace.previous_result_key} aria-label={texts.trace.previous_result}><Icon d={kIcons.up} size={14} /></a> : null}
              {after ? <a href={`/trace/${after}`} title={texts.trace.next_result_key} aria-label={texts.trace.next_result}><Icon d={kIcons.down} size={14} /></a> : null}
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
            texts.trace.empty_trace
          )}
        </h1>
        <div class="trace-actions">
          {props.view.source.is_stored && <Actions view={props.view} />}
          <span class="trace-id mono">
            <span title={id}>{id.slice(0, 8)}…</span>
            <Copy text={id} what={texts.trace.trace_id} />
          </span>
        </div>
      </div>
      <ul class="trace-facts">
        <li>
          <strong class="big">{duration(trace.duration)}</strong>
        </li>
        <li>
          <strong>{count(trace.n)}</strong> {texts.words.spans(trace.n)}
        </li>
        <li>
          <strong>{services.length}</strong> {texts.words.services(services.length)}
        </li>
        <li class={trace.error_rows.length ? 'has-errors' : ''}>
          {trace.error_rows.length ? (
            <button type="button" class="error-pill" onClick={() => props.view.next_error(1)} title={texts.trace.go_to_the_next_error_e}>
              <span aria-hidden="true">✕</span> {texts.counts.errors(trace.error_rows.length)}
            </button>
          ) : (
            texts.trace.no_errors
          )}
        </li>
        <li title={day_and_clock(start_ms)}>
          <time dateTime={new Date(start_ms).toISOString()}>{day_and_clock(start_ms)}</time>
        </li>
        {trace.header.weight > 1 && <li class="sampled" title={texts.trace.each_stands_for_so_many}>{texts.trace.sampled_1_in(count(trace.header.weight))}</li>}
        {props.view.source.is_stored && (
          <li>
            <KeptFact id={id} />
          </li>
        )}
      </ul>
      <ul class="legend" aria-label={texts.trace.services_of_the_trace}>
        {shown.map((entry) => (
          <li key={entry.service}>
            <button type="button" class="chip" onClick={() => props.view.set_find(trace.header.services[entry.service])} title={texts.trace.find_the_spans_of_this_service}>
              <Service name={trace.header.services[entry.service]} slot={trace.slots[entry.service]} />
              <span class="muted">{count(entry.spans)}</span>
              {entry.errors > 0 && (
                <span class="error-text" title={texts.counts.errors(entry.errors)}>
                  <span aria-hidden="true">✕</span>
                  {count(entry.errors)}
                  <span class="visually-hidden"> {texts.trace.of_them_errors}</span>
                </span>
              )}
            </button>
          </li>
        ))}
        {services.length > shown.length && <li class="muted">{texts.trace.and_more(services.length - shown.length)}</li>}
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
  const toggle = (): void => void (pinned ? unpin(id) : pin(about_of(view)));
  useEffect(() => {
    pin_error.value = null;
    void load_pins();
  }, [id]);
  useLayoutEffect(() => {
    page_commands.value = [
      ...(endpoint ? [{ label: texts.trace.compare_with_its_usual, note: texts.trace.this_trace, run: () => go(usual) }] : []),
      { label: texts.trace.compare_with_another_trace, note: texts.trace.this_trace, run: () => go(compare) },
      { label: pinned ? texts.trace.let_go_of_the_pin : texts.trace.pin, note: texts.trace.this_trace, run: toggle },
      { label: texts.trace.why_kept, note: texts.trace.this_trace, run: turn_why },
      ...(view.clocks.length > 0 ? [{ label: view.is_corrected ? texts.trace.show_times_as_sent : texts.trace.correct_the_clocks, note: texts.trace.this_trace, run: () => turn_clocks(view) }] : []),
      ...exports_of(view).map((item) => ({ label: texts.trace.export_as(item.name), note: texts.trace.this_trace, run: () => void take_along(item) })),
      { label: texts.trace.write_a_note, note: texts.trace.this_trace, run: () => (view.writing_note.value = true) },
    ];
    return () => {
      page_commands.value = [];
    };
  }, [view, pinned, endpoint]);
  return (
    <>
      <a class="compare-link" href={compare} title={texts.trace.compare_this_trace_with_another_one}>{texts.trace.compare}</a>
      {endpoint && <a href={usual} title={texts.trace.compare_with_all_traces_of_this}>{texts.trace.with_its_usual}</a>}
      <button
        type="button" class={`pin-button${pinned ? ' on' : ''}`} aria-pressed={pinned} onClick={toggle}
        title={texts.trace.keeps_this_trace_for_ever}
      >
        <Icon d={kIcons.pin} size={14} />
        {pinned ? texts.trace.pinned : texts.trace.pin}
      </button>
      <button type="button" class="note-button" aria-expanded={view.writing_note.value} onClick={() => (view.writing_note.value = !view.writing_note.value)} title={texts.trace.write_a_note_at_this_trace}>
        {texts.trace.note}
      </button>
    </>
  );
}

function about_of(view: ViewState): PinnedTrace {
  const { trace, id } = view;
  return {
    trace: id, service: trace.n ? trace.service_of(0) : '', name: trace.n ? trace.name_of(0) : '', start_ms: Number(BigInt(trace.header.t0) / 1000000n), duration_ns: trace.duration,
    errors: trace.error_rows.length,
  };
}

const kSkewRule = 'clock-skew';
const kLateRule = 'late';

function turn_clocks(view: ViewState): void {
  replace(here_with('clocks', view.is_corrected ? null : 'corrected'));
  announce(view.is_corrected ? texts.trace.times_as_they_were_sent : texts.trace.clocks_corrected);
}

/** Clocks that are off: said, with how far, and set right only when that is asked for. */
function Clocks(props: { view: ViewState; rows: number[] }) {
  const { clocks, is_corrected } = props.view;
  if (clocks.length === 0) return null;
  const said = clocks.slice(0, 3).map((one) => {
    const who = one.place && one.place !== one.service ? texts.trace.service_on(one.service, one.place) : one.service;
    return (is_corrected ? texts.trace.moved_by : texts.trace.off_by)(who, duration(one.ns), texts.counts.spans(one.spans));
  }).join(', ');
  return (
    <li class="clocks">
      <Icon d={kIcons.warn} size={14} />
      <span>
        {is_corrected ? `${texts.trace.shown_with_corrected_clocks} ` : `${texts.trace.spans_start_before_the_ones_that} `}
        {said}
        {clocks.length > 3 ? ` ${texts.trace.and_more(clocks.length - 3)}` : ''}.
      </span>
      {props.rows.length > 0 && (
        <button type="button" class="link" onClick={() => props.view.jump(Uint32Array.from(props.rows).sort(), 1, texts.trace.place)}>
          {texts.trace.show}
        </button>
      )}
      <button type="button" class="link" aria-pressed={is_corrected} onClick={() => turn_clocks(props.view)}>
        {is_corrected ? texts.trace.show_times_as_sent : texts.trace.correct_the_clocks}
      </button>
    </li>
  );
}

/** In the server's words, but for what has a duration in it. */
function text_of(finding: Finding, view: ViewState): string {
  if (finding.rule !== kLateRule || !finding.ns) return finding.message;
  const late = view.trace.flags.reduce((sum, flags) => sum + (flags & kFlagLate ? 1 : 0), 0);
  return texts.trace.came_late(texts.counts.spans(late), duration(Math.floor(Number(finding.ns) / 1e9) * 1e9));
}

export function Findings(props: { view: ViewState }) {
  const { header } = props.view.trace;
  const lines: { text: string; rows: number[] }[] = header.findings.filter((f) => f.rule !== kSkewRule || props.view.clocks.length === 0).map((f) => ({ text: text_of(f, props.view), rows: f.rows }));
  if (lines.length === 0 && header.missingParents > 0) {
    lines.push({ text: texts.trace.name_a_parent_that_has_not(texts.counts.spans(header.missingParents)), rows: [] });
  }
  if (lines.length === 0 && !header.complete) {
    lines.push({ text: texts.trace.not_all_of_this_trace_is, rows: [] });
  }
  if (lines.length === 0 && props.view.clocks.length === 0) return null;
  return (
    <ul class="findings" aria-label={texts.trace.findings}>
      {lines.slice(0, 4).map((line, i) => (
        <li key={i}>
          <Icon d={kIcons.warn} size={14} />
          <span>{line.text}</span>
          {line.rows.length > 0 && (
            <button type="button" class="link" onClick={() => props.view.jump(Uint32Array.from(line.rows).sort(), 1, texts.trace.place)}>
              {texts.trace.show}
            </button>
          )}
        </li>
      ))}
      <Clocks view={props.view} rows={header.findings.find((f) => f.rule === kSkewRule)?.rows ?? []} />
      {lines.length > 4 && <li class="muted">{texts.trace.and_more(lines.length - 4)}</li>}
    </ul>
  );
}
