import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { fetch_boot, search_traces } from '../../api/client.ts';
import type { TraceSummary } from '../../api/types.ts';
import { duration } from '../../model/format.ts';
import { announce, boot, load_boot, load_stored, now_ns, page_link, store } from '../../state/app.ts';
import { go } from '../../state/router.ts';
import { Copy } from '../../widgets/copy.tsx';
import { snippets } from './snippets.ts';
import * as texts from '../../texts/texts.ts';

const kPollMs = 1000;
const kSettleMs = 1200;
const kLookBackNs = 3_600_000_000_000n;

/** The address as other programs reach it: a server that listens on every address is reached by the name in the browser's bar. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\]|)(?=:\d+$)/, location.hostname);
}

async function newest_trace(signal: AbortSignal): Promise<TraceSummary | null> {
  let newest: TraceSummary | null = null;
  const now = now_ns();
  await search_traces({ q: '{ }', from: now - kLookBackNs * 24n, to: now + kLookBackNs, limit: 1, cursor: null }, (trace) => (newest ??= trace), signal);
  return newest;
}

export function WelcomePage() {
  const info = boot.value;
  const found = useSignal<TraceSummary | null>(null);
  const offline = useSignal(false);
  const empty_at_start = useSignal(info ? info.spans === '0' : true);
  const all = snippets(reachable(info?.endpoints.otlp_http ?? '127.0.0.1:4318'), reachable(info?.endpoints.otlp_grpc ?? '127.0.0.1:4317'));
  const chosen = useSignal(load_stored('language') ?? 'go');
  const snippet = all.find((s) => s.id === chosen.value) ?? all[0];

  useEffect(() => {
    document.title = texts.welcome.send_your_first_trace_spanloom;
    const stop = new AbortController();
    let timer = 0;
    const poll = async (): Promise<void> => {
      try {
        const now = await fetch_boot(stop.signal);
        offline.value = false;
        const trace = now.spans === '0' ? null : await newest_trace(stop.signal);
        if (trace) {
          found.value = trace;
          if (!empty_at_start.value) return;
          announce(texts.welcome.the_first_trace_has_arrived);
          timer = window.setTimeout(() => {
            go(`/trace/${trace.id}`);
            void load_boot(); // Only now: with spans in the store, '/' is Home and this page would be gone.
          }, kSettleMs);
          return;
        }
      } catch {
        if (stop.signal.aborted) return;
        offline.value = true;
      }
      timer = window.setTimeout(poll, kPollMs);
    };
    void poll();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);

  return (
    <main class="page welcome" id="main" tabIndex={-1}>
      <Listening found={found.value} first={empty_at_start.value} offline={offline.value} />
      <dl class="endpoints">
        <div>
          <dt>{texts.welcome.otlp_over_http}</dt>
          <dd class="mono">
            http://{reachable(info?.endpoints.otlp_http ?? '')} <Copy text={`http://${reachable(info?.endpoints.otlp_http ?? '')}`} what={texts.welcome.otlp_http_address} />
          </dd>
        </div>
        <div>
          <dt>{texts.welcome.otlp_over_grpc}</dt>
          <dd class="mono">
            {reachable(info?.endpoints.otlp_grpc ?? '')} <Copy text={reachable(info?.endpoints.otlp_grpc ?? '')} what={texts.welcome.otlp_grpc_address} />
          </dd>
        </div>
      </dl>
      <section aria-labelledby="how">
        <h2 id="how">{texts.welcome.send_from}</h2>
        <Languages all={all} chosen={snippet.id} choose={(id) => {
          chosen.value = id;
          store('language', id);
        }} />
        <div role="tabpanel" id="snippet" aria-labelledby={`tab-${snippet.id}`} class="snippet" tabIndex={0}>
          <p class="muted">{snippet.note}</p>
          {snippet.steps.map((step, i) => (
            <div class="step" key={`${snippet.id} ${i}`}>
              <div class="step-head">
                <span class="step-number" aria-hidden="true">{i + 1}</span>
                <h3>{step.title}</h3>
                <Copy text={step.code} what={step.title} label={texts.welcome.copy} class="bordered" />
              </div>
              <pre tabIndex={0} role="region" aria-label={step.title}>
                <code>{step.code}</code>
              </pre>
            </div>
          ))}
        </div>
      </section>
    </main>
  );
}

function Listening(props: { found: TraceSummary | null; first: boolean; offline: boolean }) {
  const { found } = props;
  if (found) {
    return (
      <div class="hero found" role="status">
        <h1>{props.first ? texts.welcome.your_first_trace_is_here : texts.welcome.spans_are_arriving}</h1>
        <p>
          <a href={`/trace/${found.id}`}>
            {found.root_service ?? texts.welcome.unknown_service} {found.root_name ?? texts.welcome.unknown_operation}
          </a>
          , {duration(Number(found.duration_ns))}, {texts.counts.spans(found.spans)}
        </p>
        <p class="muted">{props.first ? texts.welcome.opening_it : <a href={page_link('/search')}>{texts.welcome.see_all_traces}</a>}</p>
      </div>
    );
  }
  return (
    <header class="hero">
      <h1>{texts.welcome.no_spans_yet}</h1>
      <p class="lead">{texts.welcome.point_a_program_at_one_of}</p>
      <p class={`listening${props.offline ? ' offline' : ''}`} role="status">
        <span class="pulse" aria-hidden="true" />
        {props.offline ? texts.welcome.the_server_does_not_answer_trying : texts.welcome.listening}
      </p>
    </header>
  );
}

function Languages(props: { all: { id: string; label: string }[]; chosen: string; choose: (id: string) => void }) {
  const key = (event: KeyboardEvent): void => {
    const at = props.all.findIndex((s) => s.id === props.chosen);
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    const next = event.key === 'Home' ? 0 : event.key === 'End' ? props.all.length - 1 : (at + step + props.all.length) % props.all.length;
    if (next === at || (!step && event.key !== 'Home' && event.key !== 'End')) return;
    event.preventDefault();
    props.choose(props.all[next].id);
    document.getElementById(`tab-${props.all[next].id}`)?.focus();
  };
  return (
    <div role="tablist" aria-label={texts.welcome.language} class="tabs" onKeyDown={key}>
      {props.all.map((s) => (
        <button
          key={s.id} type="button" role="tab" id={`tab-${s.id}`} aria-selected={s.id === props.chosen} aria-controls="snippet"
          tabIndex={s.id === props.chosen ? 0 : -1} onClick={() => props.choose(s.id)}
        >
          {s.label}
        </button>
      ))}
    </div>
  );
}
