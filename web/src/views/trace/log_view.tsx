import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Attribute, SpanRow } from '../../api/types.ts';
import { count, duration, exact_time } from '../../model/format.ts';
import { kFlagEvents } from '../../model/trace.ts';
import { Service } from '../../widgets/bits.tsx';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kSpansPerPart = 200;
const kValueMax = 300;

interface Entry {
  row: number;
  at: bigint;
  event: SpanRow['events'][number];
}

/** Every event of the trace in the order of time. Spans with events are read in parts, earliest first. */
export function LogView(props: { view: ViewState; open: () => void }) {
  const { view } = props;
  const { trace } = view;
  const entries = useSignal<Entry[]>([]);
  const read = useSignal(0);
  const problem = useSignal('');
  const rows = rows_with_events(view);

  useEffect(() => {
    entries.value = [];
    read.value = 0;
    problem.value = '';
  }, [view]);

  useEffect(() => {
    const stop = new AbortController();
    if (read.value === 0 && rows.length) void more(stop.signal);
    return () => stop.abort();
  }, [view]);

  const more = async (signal?: AbortSignal): Promise<void> => {
    const part = rows.slice(read.value, read.value + kSpansPerPart);
    try {
      const spans = await view.source.read(part, signal);
      const found = spans.flatMap((span) => span.events.map((event) => ({ row: span.row, at: BigInt(event.time_ns), event })));
      entries.value = [...entries.value, ...found].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.row - b.row));
      read.value += part.length;
    } catch (error) {
      if (!signal?.aborted) problem.value = error instanceof Error ? error.message : String(error);
    }
  };

  const needle = view.find.value.trim().toLowerCase();
  const shown = needle ? entries.value.filter((entry) => text_of(trace.name_of(entry.row), entry).includes(needle)) : entries.value;
  const t0 = BigInt(trace.header.t0);
  if (rows.length === 0) return <p class="view-note">{texts.trace.no_span_of_this_trace_has}</p>;
  return (
    <div class="log-view" tabIndex={0} role="region" aria-label={texts.trace.events_of_the_trace}>
      <p class="muted small">
        {texts.trace.shown_of(texts.counts.events(shown.length), read.value < rows.length ? texts.trace.of_with_events(count(read.value), texts.counts.spans(rows.length)) : texts.counts.spans(rows.length))}
      </p>
      {problem.value && <p class="failure" role="alert">{texts.trace.the_events_did_not_arrive(problem.value)}</p>}
      <table class="log">
        <thead class="visually-hidden">
          <tr><th scope="col">{texts.trace.time}</th><th scope="col">{texts.trace.span_column}</th><th scope="col">{texts.trace.event_column}</th></tr>
        </thead>
        <tbody>
          {shown.map((entry, i) => (
            <tr key={i} class={`${entry.row === view.selected.value ? 'selected' : ''}${entry.event.name === 'exception' ? ' exception-line' : ''}`}>
              <td class="event-time" title={exact_time(entry.at)}>+{duration(Number(entry.at - t0))}</td>
              <td>
                <button type="button" class="operation-link" title={texts.trace.select_this_span} onClick={() => {
                  view.select(entry.row);
                  props.open();
                }}>
                  <Service name={trace.service_of(entry.row)} slot={trace.slots[trace.service[entry.row]]} />
                  <span class="operation-name">{trace.name_of(entry.row)}</span>
                </button>
              </td>
              <td><Event event={entry.event} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {read.value < rows.length && read.value > 0 && (
        <button type="button" onClick={() => void more()}>{texts.trace.read_the_events_of(texts.counts.more_spans(Math.min(kSpansPerPart, rows.length - read.value)))}</button>
      )}
    </div>
  );
}

function Event(props: { event: Entry['event'] }) {
  const { event } = props;
  const value = (key: string): string => shown_value(event.attributes.find((item) => item.key === key));
  if (event.name === 'exception') {
    return (
      <>
        <strong class="exception-type">{value('exception.type') || texts.trace.exception}</strong> {value('exception.message')}
      </>
    );
  }
  return (
    <>
      <strong>{event.name || texts.trace.event}</strong>{' '}
      {event.attributes.map((item) => (
        <span key={item.key} class="pair"><span class="muted">{item.key}=</span><span class="mono">{shown_value(item)}</span> </span>
      ))}
    </>
  );
}

function shown_value(item: Attribute | undefined): string {
  if (!item || item.value === null || item.value === undefined) return '';
  const text = typeof item.value === 'object' ? JSON.stringify(item.value) : String(item.value);
  return text.length > kValueMax ? texts.trace.cut_text(text.slice(0, kValueMax), count(text.length)) : text;
}

function text_of(name: string, entry: Entry): string {
  return `${name} ${entry.event.name} ${entry.event.attributes.map((item) => `${item.key}=${shown_value(item)}`).join(' ')}`.toLowerCase();
}

function rows_with_events(view: ViewState): number[] {
  const { trace } = view;
  const rows: number[] = [];
  for (let row = 0; row < trace.n; row++) if (trace.has(row, kFlagEvents)) rows.push(row);
  return rows.sort((a, b) => trace.start[a] - trace.start[b] || a - b);
}
