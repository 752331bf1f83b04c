import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect } from 'preact/hooks';
import { type ApiError, as_api_error, is_abort, search_traces } from '../../api/client.ts';
import type { TraceSummary } from '../../api/types.ts';
import { assign_slots } from '../../model/colors.ts';
import { clock, duration } from '../../model/format.ts';
import { with_query } from '../../model/url.ts';
import { now_ns } from '../../state/app.ts';
import { push_keys } from '../../state/keys.ts';
import { place, replace } from '../../state/router.ts';
import { Failure, Service } from '../../widgets/bits.tsx';
import { QueryLine } from '../search/query_line.tsx';
import * as texts from '../../texts/texts.ts';

const kEveryMs = 1500;
const kPerTick = 50;
const kShown = 200;
/** Spans are visible within a second of their arrival, and a trace may go on after its first span: so far back each question looks. */
const kLookBackNs = 15_000_000_000n;

/** Traces as they arrive, newest first. Pausing keeps what is on the page. */
export function LivePage() {
  const q = place.value.params.get('q') ?? '';
  const draft = useSignal(q);
  const paused = useSignal(false);
  const traces = useSignal<TraceSummary[]>([]);
  const error = useSignal<ApiError | null>(null);
  const more = useSignal(false);
  const asked_at = useSignal(0);

  useEffect(() => {
    document.title = texts.live.live_spanloom(q);
    draft.value = q;
    traces.value = [];
  }, [q]);

  useEffect(() => {
    if (paused.value) return;
    const stop = new AbortController();
    let timer = 0;
    const tick = async (): Promise<void> => {
      const to = now_ns();
      const found: TraceSummary[] = [];
      try {
        const end = await search_traces({ q, from: to - kLookBackNs, to, limit: kPerTick, cursor: null }, (trace) => found.push(trace), stop.signal);
        more.value = end.cursor !== null;
        traces.value = merge(found, traces.value);
        asked_at.value = Number(to / 1000000n);
        error.value = null;
      } catch (problem) {
        if (is_abort(problem) || stop.signal.aborted) return;
        error.value = as_api_error(problem);
      }
      timer = window.setTimeout(() => void tick(), kEveryMs);
    };
    void tick();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [q, paused.value]);

  useLayoutEffect(() => push_keys({
    ' ': (event) => {
      if (event.target instanceof HTMLElement && event.target.closest('button, a, input')) return;
      event.preventDefault();
      paused.value = !paused.value;
    },
  }), []);

  const run = (next: string): void => replace(with_query('/live', next.trim() ? new URLSearchParams({ q: next.trim() }) : new URLSearchParams()));
  const wrong = error.value !== null && error.value.status >= 400 && error.value.status < 500;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1 class="visually-hidden">{texts.live.live}</h1>
      <div class="search-head card">
        <div class="query-line">
          <QueryLine value={draft.value} change={(text) => (draft.value = text)} run={run} error={wrong && draft.value.trim() === q ? error.value : null} />
          <button type="button" class="primary" onClick={() => run(draft.value)}>{texts.live.filter}</button>
          <button type="button" aria-pressed={paused.value} onClick={() => (paused.value = !paused.value)} title={texts.live.space}>{paused.value ? texts.live.go_on : texts.live.pause}</button>
        </div>
      </div>
      {error.value && !wrong && <Failure error={error.value} title={texts.live.waiting_for_the_server} />}
      <p class="muted small" role="status">
        {paused.value ? texts.live.paused_at(clock(asked_at.value)) : asked_at.value ? texts.live.following_last_looked_at(clock(asked_at.value)) : texts.live.listening}
        {more.value && ` ${texts.live.more_arrives_than_can_be_read(kPerTick)}`}
      </p>
      {traces.value.length > 0 && (
        <ol class="results live">
          {traces.value.map((trace) => <Line key={trace.id} trace={trace} />)}
        </ol>
      )}
      {traces.value.length >= kShown && <p class="muted end-note">{texts.live.older_ones_have_left_this_page}</p>}
    </main>
  );
}

/** New ones first; one that grew replaces what was known of it. */
function merge(found: TraceSummary[], known: TraceSummary[]): TraceSummary[] {
  const all = new Map(known.map((trace) => [trace.id, trace]));
  for (const trace of found) all.set(trace.id, trace);
  const start = (trace: TraceSummary): bigint => BigInt(trace.start_ns);
  return [...all.values()].sort((a, b) => (start(a) < start(b) ? 1 : start(a) > start(b) ? -1 : a.id < b.id ? -1 : 1)).slice(0, kShown);
}

function Line(props: { trace: TraceSummary }) {
  const { trace } = props;
  const names = trace.services.map((service) => service.name);
  const slots = assign_slots(names);
  return (
    <li class={`result${trace.errors ? ' failed' : ''}`}>
      <a href={`/trace/${trace.id}`} class="result-link">
        <span class="result-top">
          <span class="muted">{clock(Number(BigInt(trace.start_ns) / 1000000n))}</span>
          <Service name={trace.root_service ?? texts.live.root_not_received} slot={slots[Math.max(0, names.indexOf(trace.root_service ?? ''))] ?? 0} />
          <span class="result-name">{trace.root_name ?? ''}</span>
          {trace.errors > 0 && <span class="error-pill small"><span aria-hidden="true">✕</span> {texts.counts.errors(trace.errors)}</span>}
          <span class="result-time">{duration(Number(trace.duration_ns))} · {texts.counts.spans(trace.spans)}</span>
        </span>
      </a>
    </li>
  );
}
