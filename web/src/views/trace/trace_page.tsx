import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { ApiError, as_api_error, fetch_skeleton, is_abort } from '../../api/client.ts';
import { duration } from '../../model/format.ts';
import { decode_skeleton, type Skeleton } from '../../model/slt1.ts';
import type { Trace } from '../../model/trace.ts';
import { read_trace } from '../../model/url.ts';
import { load_stored, now_ns } from '../../state/app.ts';
import { place } from '../../state/router.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Body } from './body.tsx';
import { Findings, Head } from './head.tsx';
import { is_explained, KeptPanel, Missing, missing_title } from './kept.tsx';
import { Notes } from './notes.tsx';
import { stored, ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kYoungMs = 60_000;
const kGrowPollMs = 3_000;
const kGrowPolls = 20;

export function TracePage(props: { id: string }) {
  const view = useSignal<ViewState | null>(null);
  const error = useSignal<ApiError | null>(null);
  const grown = useSignal<{ by: number; bytes: ArrayBuffer } | null>(null);
  const attempt = useSignal(0);

  const adopt = (bytes: ArrayBuffer): void => {
    show(decode_skeleton(bytes));
    grown.value = null;
  };
  const show = (skeleton: Skeleton): void => {
    const next = new ViewState(props.id, skeleton, stored(props.id));
    const before = view.value;
    next.panel.value = before ? before.panel.value : next.trace.header.sel >= 0 || wide_enough();
    if (before && before.skeleton === skeleton) next.take_over(before);
    before?.destroy();
    view.value = next;
    next.load_usual();
  };
  // The same rows with other times: a new state of the same page.
  const clocks = read_trace(place.value.params).clocks;
  useEffect(() => {
    const now = view.value;
    if (now && now.clocks.length > 0 && now.is_corrected !== clocks) show(now.skeleton);
  }, [clocks]);

  useEffect(() => {
    const stop = new AbortController();
    view.value?.destroy();
    view.value = null;
    error.value = null;
    document.title = texts.trace.trace_spanloom;
    fetch_skeleton(props.id, read_trace(place.value.params).span, stop.signal)
      .then((bytes) => {
        if (stop.signal.aborted) return;
        adopt(bytes);
        const loaded = view.value;
        if (!loaded) return;
        document.title = texts.trace.spanloom(loaded.trace.n ? loaded.trace.name_of(0) : props.id.slice(0, 8), duration(loaded.trace.duration));
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
        <h1 class="visually-hidden">{texts.trace.trace(props.id)}</h1>
        <Loading what={texts.trace.loading_the_trace} cancel={() => history.back()} />
      </main>
    );
  }
  return (
    <main class="trace-page" id="main" tabIndex={-1}>
      <Head view={view.value} />
      <Findings view={view.value} />
      {view.value.source.is_stored && <KeptPanel id={props.id} />}
      <Notes view={view.value} />
      {grown.value && (
        <p class="banner" role="status">
          {texts.trace.new_spans_arrived(texts.counts.new_spans(grown.value.by))}{' '}
          <button type="button" onClick={() => grown.value && adopt(grown.value.bytes)}>
            {texts.trace.show_rows}
          </button>
        </p>
      )}
      <Body key={`${props.id} ${view.value.trace.n} ${view.value.is_corrected}`} view={view.value} />
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
      <h1>{missing ? missing_title(props.id) : texts.trace.the_trace_could_not_be_loaded}</h1>
      <p class="mono wrap">{props.id}</p>
      {!(missing && is_explained(props.id)) && <Failure error={props.error} retry={props.retry} />}
      {missing && <Missing id={props.id} />}
    </main>
  );
}
