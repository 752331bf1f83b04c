import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { search_traces } from '../../api/client.ts';
import type { Attribute, SpanRow, TraceSummary } from '../../api/types.ts';
import { count, count_short, duration, exact_time, percent } from '../../model/format.ts';
import { fill } from '../../model/links_out.ts';
import { narrow_query } from '../../model/narrow_query.ts';
import { kFlagLate, kFlagSkewMoved, kFlagUnended } from '../../model/trace.ts';
import { attribute, quote } from '../../model/url.ts';
import { beside_usual } from '../../model/usual.ts';
import { announce, now_ns, page_link } from '../../state/app.ts';
import { links_out } from '../../state/links_out.ts';
import { results } from '../../state/results.ts';
import { color_of, Icon, kIcons } from '../../widgets/bits.tsx';
import { Copy } from '../../widgets/copy.tsx';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kLongValue = 400;

function text_of(item: Attribute): string {
  if (typeof item.value === 'string') return item.value;
  if (item.value === null || item.value === undefined) return '';
  return typeof item.value === 'object' ? JSON.stringify(item.value, null, 2) : String(item.value);
}

/** The TraceQL condition of having this value, or another one; null for values the language cannot compare. */
function condition_of(scope: string, item: Attribute, operator: '=' | '!='): string | null {
  const name = attribute(scope, item.key);
  if (item.value === null || item.value === undefined) return null;
  if (item.type === 'string') return item.cut ? null : `${name} ${operator} ${quote(String(item.value))}`;
  if (item.type === 'bool' || item.type === 'int' || item.type === 'double') return `${name} ${operator} ${String(item.value)}`;
  return null;
}

/** A key that breaks after its dots and dashes rather than inside a word. */
function breakable(key: string) {
  const parts = key.slice(0, kLongValue).split(/(?<=[._/-])/);
  return parts.flatMap((part, i) => (i ? [<wbr key={i} />, part] : [part]));
}

export function Detail(props: { view: ViewState; close: () => void }) {
  const { view } = props;
  const detail = view.detail.value;
  const row = view.selected.value;
  const trace = view.trace;
  const fresh = detail?.row === row;
  return (
    <aside class="detail" aria-label={texts.trace.selected_span} tabIndex={-1} id="detail">
      <header class="detail-head" style={{ '--c': color_of(trace.slots[trace.service[row]]) }}>
        <div class="detail-title">
          <span class="detail-service">{trace.service_of(row)}</span>
          <h2>{trace.name_of(row)}</h2>
        </div>
        <button type="button" class="quiet" onClick={props.close} aria-label={texts.trace.close_details} title={texts.trace.close_details_esc}>
          <Icon d={kIcons.close} />
        </button>
      </header>
      <Facts view={view} row={row} detail={fresh ? detail : null} />
      {view.detail_error.value && (
        <p class="failure" role="alert">
          {texts.trace.the_details_did_not_arrive(view.detail_error.value)}
        </p>
      )}
      {detail && (
        <div class={`detail-body${fresh ? '' : ' stale'}`} aria-busy={!fresh}>
          <Sections view={view} detail={detail} />
        </div>
      )}
    </aside>
  );
}

function Facts(props: { view: ViewState; row: number; detail: SpanRow | null }) {
  const { trace } = props.view;
  const { row, detail } = props;
  const share = (100 * trace.self_time(row)) / Math.max(1, trace.dur[row]);
  return (
    <dl class="facts">
      <div>
        <dt>{texts.trace.duration}</dt>
        <dd>{trace.has(row, kFlagUnended) ? <span class="warn-text">{texts.trace.no_valid_end}</span> : duration(trace.dur[row])}</dd>
      </div>
      <div>
        <dt>{texts.trace.self_time}</dt>
        <dd>
          {duration(trace.self_time(row))} <span class="muted">{share >= 99.5 ? '100' : share.toFixed(share < 10 ? 1 : 0)} %</span>
        </dd>
      </div>
      <div>
        <dt>{texts.trace.starts_at}</dt>
        <dd>{duration(trace.start[row])}</dd>
      </div>
      <div>
        <dt>{texts.trace.kind}</dt>
        <dd>{trace.kind_of(row)}</dd>
      </div>
      <UsualFacts view={props.view} row={row} />
      {trace.has(row, kFlagLate) && (
        <div class="wide">
          <dt>{texts.trace.arrived}</dt>
          <dd class="warn-text" title={texts.trace.late_means}>{detail?.late_ns ? texts.trace.late_by(duration(whole_seconds(detail.late_ns))) : texts.trace.arrived_late}</dd>
        </div>
      )}
      {trace.has(row, kFlagSkewMoved) && detail && (
        <div class="wide">
          <dt>{texts.trace.clock}</dt>
          <dd class="warn-text">
            {texts.trace.shown(duration(Math.abs(shift_of(props.view, row, detail))))} {shift_of(props.view, row, detail) < 0 ? texts.trace.earlier : texts.trace.later} {texts.trace.than_it_was_sent}
          </dd>
        </div>
      )}
      {detail && (
        <div class="wide">
          <dt>{texts.trace.span_id_term}</dt>
          <dd class="mono">
            {detail.span_id} <Copy text={detail.span_id} what={texts.trace.span_id} /> <Copy text={props.view.link_to_span()} what={texts.trace.link_to_this_span} label={texts.trace.copy_link} />
          </dd>
        </div>
      )}
    </dl>
  );
}

const whole_seconds = (ns: string): number => Math.floor(Number(ns) / 1e9) * 1e9;

/** How far the shown start is from the one that was sent, in ns. */
function shift_of(view: ViewState, row: number, detail: SpanRow): number {
  return view.trace.start[row] - Number(BigInt(detail.start_ns) - BigInt(view.trace.header.t0));
}

/** What spans of this operation usually take, counted by the server over the day that ends with the trace. */
function UsualFacts(props: { view: ViewState; row: number }) {
  const { trace, usual } = props.view;
  const { row } = props;
  const found = usual.value?.of(trace.service_of(row), trace.name_of(row), trace.kind_of(row));
  if (!usual.value) return null;
  if (!found) return <div class="wide"><dt>{texts.trace.usual}</dt><dd class="muted">{texts.trace.too_few_calls_in_the_day}</dd></div>;
  const words = beside_usual(trace.dur[row], found);
  return (
    <div class="wide usual" title={texts.trace.calls_of_this_operation_in_the(count(found.count), percent(found.errors, found.count))}>
      <dt>{texts.trace.usual}</dt>
      <dd>
        p50 {duration(found.p50_ns)} · p95 {duration(found.p95_ns)} <span class="muted">{texts.trace.of(count_short(found.count))}</span>
        {words && <span class={trace.dur[row] > found.p95_ns ? 'warn-text' : 'muted'}>{words}</span>}
      </dd>
    </div>
  );
}

/** Traces with spans that link to this trace, and which of them link to this span. */
function LinkedFrom(props: { view: ViewState; detail: SpanRow }) {
  const { view, detail } = props;
  const asked = useSignal(false);
  const list = useSignal<TraceSummary[] | null>(null);
  const problem = useSignal('');
  useEffect(() => {
    asked.value = false;
    list.value = null;
    problem.value = '';
  }, [detail.span_id]);
  const start = BigInt(view.trace.header.t0);
  const day = 86_400_000_000_000n;
  const ask = (): void => {
    asked.value = true;
    const q = `{ link:traceID = "${view.id}" && link:spanID = "${detail.span_id}" }`;
    const found: TraceSummary[] = [];
    search_traces({ q, from: start > day ? start - day : 0n, to: now_ns() + day, limit: 20, cursor: null }, (trace) => found.push(trace))
      .then(() => {
        list.value = found;
        announce(texts.counts.linking_traces(found.length));
      })
      .catch((error: Error) => (problem.value = error.message));
  };
  return (
    <p class="linked-from">
      {!asked.value && <button type="button" class="link" onClick={ask}>{texts.trace.which_spans_link_to_this_one}</button>}
      {asked.value && !list.value && !problem.value && <span class="muted">{texts.trace.looking}</span>}
      {problem.value && <span class="error-text" role="alert">{problem.value}</span>}
      {list.value?.length === 0 && <span class="muted">{texts.trace.no_stored_span_links_to_this}</span>}
      {list.value?.map((trace) => (
        <a key={trace.id} href={`/trace/${trace.id}?span=${trace.matched_spans[0]?.id ?? ''}`}>
          ← {trace.matched_spans[0]?.name ?? trace.root_name ?? trace.id} <span class="muted">{trace.root_service ?? ''}</span>
        </a>
      ))}
    </p>
  );
}

/** Links to other systems that this span has everything for. */
function LinksOut(props: { view: ViewState; detail: SpanRow }) {
  const { view, detail } = props;
  useEffect(() => void links_out.load(), []);
  const ms = (ns: string): string => String(BigInt(ns) / 1000000n);
  const known: Record<string, string> = {
    trace: view.id, span: detail.span_id, service: detail.service, operation: detail.name, start_ms: ms(detail.start_ns), end_ms: ms(detail.end_ns), start_ns: detail.start_ns, end_ns: detail.end_ns,
  };
  const value_of = (name: string): string | null => {
    if (Object.hasOwn(known, name)) return known[name];
    const item = detail.attributes.find((one) => one.key === name) ?? detail.resource.attributes.find((one) => one.key === name);
    return item ? text_of(item) : null;
  };
  const shown = links_out.list.value.map((link) => ({ name: link.name, href: fill(link.url, value_of) })).filter((link) => link.href !== null);
  if (shown.length === 0) return null;
  return (
    <section class="links-out">
      <h3>{texts.trace.elsewhere}</h3>
      {shown.map((link) => (
        <a key={link.name} href={link.href ?? undefined} target="_blank" rel="noopener noreferrer">
          {link.name} <Icon d={kIcons.out} size={12} />
        </a>
      ))}
    </section>
  );
}

function Sections(props: { view: ViewState; detail: SpanRow }) {
  const { detail, view } = props;
  const filter = useSignal('');
  const start = BigInt(detail.start_ns);
  const dropped = detail.dropped;
  const failed = detail.status.code === 'error';
  return (
    <>
      {failed && (
        <p class="status-error">
          <span aria-hidden="true">✕ </span>
          <strong>{texts.trace.error}</strong> {detail.status.message}
        </p>
      )}
      {dropped.attributes + dropped.events + dropped.links > 0 && (
        <p class="note">
          {texts.trace.the_program_dropped_attributes(dropped.attributes, dropped.events, dropped.links)}
        </p>
      )}
      {detail.events.map((event) => event.name === 'exception' && <Exception key={event.time_ns} event={event} />)}
      <section>
        <h3>
          {texts.trace.attributes} <span class="badge">{detail.attributes.length}</span>
        </h3>
        {detail.attributes.length > 8 && (
          <input
            type="search" class="attribute-filter" placeholder={texts.trace.filter_attributes} aria-label={texts.trace.filter_attributes}
            value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)}
          />
        )}
        <Attributes items={detail.attributes} scope="span." filter={filter.value} empty={texts.trace.this_span_has_no_attributes} />
      </section>
      {detail.events.length > 0 && (
        <section>
          <h3>
            {texts.trace.events} <span class="badge">{detail.events.length}</span>
          </h3>
          <ol class="events">
            {detail.events.map((event, i) => (
              <li key={i}>
                <div class="event-line">
                  <span class="event-time">+{duration(Number(BigInt(event.time_ns) - start))}</span>
                  <span class="event-name">{event.name || texts.trace.event}</span>
                </div>
                {event.name !== 'exception' && <Attributes items={event.attributes} scope="event." filter="" empty="" />}
              </li>
            ))}
          </ol>
        </section>
      )}
      {view.source.is_stored && <LinksOut view={view} detail={detail} />}
      {(detail.links.length > 0 || view.source.is_stored) && (
        <section>
          <h3>
            {texts.trace.links} {detail.links.length > 0 && <span class="badge">{detail.links.length}</span>}
          </h3>
          <ul class="links">
            {detail.links.map((link, i) => (
              <li key={i}>
                <a class="mono" href={`/trace/${link.trace_id}?span=${link.span_id}`}>
                  {link.trace_id}
                </a>
                <span class="muted"> {texts.trace.span(link.span_id)}</span>
                <Attributes items={link.attributes} scope="link." filter="" empty="" />
              </li>
            ))}
          </ul>
          {view.source.is_stored && <LinkedFrom view={view} detail={detail} />}
        </section>
      )}
      <section>
        <h3>
          {texts.trace.resource} <span class="badge">{detail.resource.attributes.length}</span>
        </h3>
        <Attributes items={detail.resource.attributes} scope="resource." filter="" empty={texts.trace.the_resource_has_no_attributes} />
      </section>
      <section>
        <h3>{texts.trace.more}</h3>
        <table class="attributes">
          <tbody>
            <Line name={texts.trace.start} value={exact_time(start)} />
            <Line name={texts.trace.end} value={detail.end_ns === '0' ? texts.trace.no_end_was_sent : exact_time(BigInt(detail.end_ns))} />
            <Line name={texts.trace.parent_span} value={detail.parent_span_id || texts.trace.none_this_is_a_root} />
            <Line name={texts.trace.status} value={detail.status.code} />
            {(detail.scope.name || detail.scope.version) && <Line name={texts.trace.scope} value={`${detail.scope.name} ${detail.scope.version}`.trim()} />}
            {detail.trace_state && <Line name={texts.trace.trace_state} value={detail.trace_state} />}
            {detail.resource.schema_url && <Line name={texts.trace.schema} value={detail.resource.schema_url} />}
          </tbody>
        </table>
        <Attributes items={detail.scope.attributes} scope="instrumentation." filter="" empty="" />
      </section>
    </>
  );
}

function Line(props: { name: string; value: string }) {
  return (
    <tr>
      <th scope="row">{props.name}</th>
      <td>{props.value}</td>
      <td class="tools" />
    </tr>
  );
}

function Attributes(props: { items: Attribute[]; scope: string; filter: string; empty: string }) {
  const needle = props.filter.trim().toLowerCase();
  const items = needle
    ? props.items.filter((item) => item.key.toLowerCase().includes(needle) || text_of(item).toLowerCase().includes(needle))
    : props.items;
  if (props.items.length === 0) return props.empty ? <p class="muted small">{props.empty}</p> : null;
  if (items.length === 0) return <p class="muted small">{texts.trace.no_attribute_contains(props.filter)}</p>;
  const sorted = [...items].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return (
    <table class="attributes">
      <tbody>
        {sorted.map((item, i) => (
          <AttributeLine key={`${item.key} ${i}`} item={item} scope={props.scope} />
        ))}
      </tbody>
    </table>
  );
}

function AttributeLine(props: { item: Attribute; scope: string }) {
  const { item } = props;
  const open = useSignal(false);
  const text = text_of(item);
  const long = text.length > kLongValue;
  // The last search, and of it only what has this value, or has it not.
  const searched = results.value?.q ?? '';
  const same = condition_of(props.scope, item, '=');
  const other = condition_of(props.scope, item, '!=');
  return (
    <tr>
      <th scope="row">{breakable(item.key)}</th>
      <td class={`value type-${item.type}`}>
        {long && !open.value ? `${text.slice(0, kLongValue)}…` : text}
        {long && (
          <button type="button" class="link" onClick={() => (open.value = !open.value)}>
            {open.value ? texts.trace.show_less : texts.trace.show_all_characters(count(text.length))}
          </button>
        )}
        {item.cut && <span class="note"> {texts.trace.cut_here_the_stored_value_is}</span>}
      </td>
      <td class="tools">
        <span class="tool-box">
        {same && (
          <a class="quiet" href={page_link('/search', { q: narrow_query(searched, same) })} title={texts.trace.find_traces_with_this_value} aria-label={texts.trace.find_traces_where_has_this_value(item.key)}>
            <Icon d={kIcons.search} size={13} />
          </a>
        )}
        {other && (
          <a class="quiet" href={page_link('/search', { q: narrow_query(searched, other) })} title={texts.trace.find_traces_without_this_value} aria-label={texts.trace.find_traces_where_has_another_value(item.key)}>
            <Icon d={kIcons.exclude} size={13} />
          </a>
        )}
        <Copy text={text} what={texts.trace.value_of(item.key)} />
        </span>
      </td>
    </tr>
  );
}

function Exception(props: { event: SpanRow['events'][number] }) {
  const value = (key: string): string => text_of(props.event.attributes.find((a) => a.key === key) ?? { key, type: 'string', value: '', cut: false });
  const stack = value('exception.stacktrace');
  const rest = props.event.attributes.filter((a) => !/^exception\.(type|message|stacktrace)$/.test(a.key));
  return (
    <section class="exception">
      <h3>
        <span class="exception-type">{value('exception.type') || texts.trace.exception}</span>
      </h3>
      {value('exception.message') && <p>{value('exception.message')}</p>}
      {stack && (
        <div class="stack">
          <Copy text={stack} what={texts.trace.stack_trace} />
          <pre tabIndex={0} role="region" aria-label={texts.trace.stack_trace_title}>{stack}</pre>
        </div>
      )}
      <Attributes items={rest} scope="event." filter="" empty="" />
    </section>
  );
}
