import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { TraceSummary } from '../../api/types.ts';
import { assign_slots } from '../../model/colors.ts';
import { ago, clock, count, count_short, day_and_clock, duration } from '../../model/format.ts';
import { has_hint, is_sorted_by_server, kListOrders, read_sort, sort_results } from '../../model/result_table.ts';
import type { Box } from '../../model/heat.ts';
import { kSearchViews, read_search, type SearchState, type SearchView, with_query, write_search } from '../../model/url.ts';
import { announce, boot, load_stored, now_ns, range, store } from '../../state/app.ts';
import { push_keys } from '../../state/keys.ts';
import { remember_search } from '../../state/kept.ts';
import { cancel_search, more_results, results, run_search, search_error, search_key, searching } from '../../state/results.ts';
import { can_analyse } from '../../state/analysis.ts';
import { go, place, replace } from '../../state/router.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import { Analysis, Facets } from './analysis.tsx';
import { Builder } from './form.tsx';
import { KeptSearches, SaveSearch } from './kept.tsx';
import { Nothing } from './nothing.tsx';
import { QueryLine } from './query_line.tsx';
import { ResultTable } from './result_table.tsx';
import { Scatter } from './scatter.tsx';
import * as texts from '../../texts/texts.ts';

const kExamples: [string, string][] = [
  [texts.search.failed_requests, '{ status = error }'],
  [texts.search.slower_than_a_second, '{ duration > 1s }'],
  [texts.search.one_user, '{ .user.id = "4815" }'],
  [texts.search.server_errors, '{ .http.response.status_code >= 500 }'],
];

export function SearchPage() {
  const state = read_search(place.value.params);
  const draft = useSignal(state.q);
  const builder = useSignal(load_stored('builder') === 'open');
  const key = search_key(state.q, range.value, state.sort);
  const top = useRef<HTMLElement>(null);

  useEffect(() => {
    document.title = texts.search.search_spanloom(state.q);
    draft.value = state.q;
    const kept = results.peek();
    if (kept?.key === key && !search_error.peek()) return;
    void search_now();
  }, [key]);

  // Back from a trace: the same lines are on the screen again.
  useLayoutEffect(() => {
    const kept = results.peek();
    if (kept?.key === key && kept.scroll) window.scrollTo(0, kept.scroll);
    const remember = (): void => {
      const now = results.peek();
      if (now && place.peek().path === '/search') now.scroll = window.scrollY;
    };
    window.addEventListener('scroll', remember, { passive: true });
    return () => window.removeEventListener('scroll', remember);
  }, []);

  useLayoutEffect(() => push_keys({ '/': (e) => {
    e.preventDefault();
    document.querySelector<HTMLTextAreaElement>('.query-field')?.focus();
  }, b: (e) => {
    const area = document.querySelector<HTMLElement>('.heat-area');
    if (!area) return;
    e.preventDefault();
    area.focus();
    area.scrollIntoView({ block: 'nearest' });
  }, ...list_keys() }), []);

  const search_now = (): Promise<void> => {
    const now = place.peek();
    const { q, sort } = read_search(now.params);
    return run_search(q, range.peek(), with_query(now.path, now.params), sort).then(() => {
      const found = results.peek();
      if (!search_error.peek()) remember_search(q);
      if (found && !search_error.peek()) announce(texts.search.found(texts.counts.traces(found.traces.length)));
    });
  };
  const run = (q: string): void => {
    const url = with_query('/search', write_search({ ...state, box: null, q: q.trim(), ...range.value }, place.value.params));
    if (search_key(q.trim(), range.value, state.sort) === key) void search_now();
    else go(url);
  };
  const run_box = (q: string, box?: Box): void => {
    if (!box) return run(q);
    const time = { from: String(BigInt(Math.floor(box.t0)) * 1000000n), to: String(BigInt(Math.ceil(box.t1)) * 1000000n) };
    go(with_query('/search', write_search({ ...state, box: null, q, ...time }, place.value.params)));
  };
  const show = (change: Partial<SearchState>): void => {
    const now = place.value;
    replace(with_query(now.path, write_search({ ...read_search(now.params), ...change }, now.params)));
  };
  return (
    <main class="page search" id="main" tabIndex={-1} ref={top}>
      <h1 class="visually-hidden">{texts.search.search}</h1>
      <div class="search-head card">
        <div class="query-line">
          <QueryLine value={draft.value} change={(q) => (draft.value = q)} run={run} error={draft.value.trim() === state.q.trim() ? search_error.value : null} />
          <button type="button" class="primary" onClick={() => run(draft.value)}>
            {texts.search.search}
          </button>
          <button
            type="button" aria-expanded={builder.value} aria-controls="builder"
            onClick={() => {
              builder.value = !builder.value;
              store('builder', builder.value ? 'open' : 'closed');
            }}
          >
            {texts.search.form}
          </button>
          <SaveSearch q={draft.value} />
        </div>
        <div id="builder">{builder.value && <Builder q={draft.value} change={(q) => (draft.value = q)} run={run} />}</div>
        {!draft.value.trim() && (
          <p class="examples">
            <span class="muted">{texts.search.try_word}</span>
            {kExamples.map(([label, q]) => (
              <button key={q} type="button" class="link" onClick={() => run(q)} title={q}>
                {label}
              </button>
            ))}
          </p>
        )}
        {!draft.value.trim() && <KeptSearches run={run} />}
      </div>
      <Outcome retry={() => void search_now()} state={state} show={show} run={run_box} />
    </main>
  );
}

interface Shown {
  state: SearchState;
  show: (change: Partial<SearchState>) => void;
  run: (q: string, box?: Box) => void;
}

const kViewNames: Record<SearchView, string> = { heat: texts.search.heatmap, scatter: texts.search.traces_as_points, list: texts.search.no_picture };

function Outcome(props: Shown & { retry: () => void }) {
  const found = results.value;
  const error = search_error.value;
  const query_wrong = error !== null && error.status >= 400 && error.status < 500;
  if (error && !query_wrong) return <Failure error={error} retry={props.retry} />;
  if (query_wrong && !found?.traces.length) return <p class="muted">{texts.search.correct_the_query_to_see_results}</p>;
  if (!found || (searching.value && found.traces.length === 0)) return searching.value ? <Loading what={texts.search.searching} cancel={cancel_search} /> : null;
  if (found.traces.length === 0) return <Nothing key={found.key} q={found.q} run={props.run} />;
  const analysed = can_analyse() && props.state.view === 'heat';
  const { sort } = props.state;
  const traces = is_sorted_by_server(found.q, sort) ? found.traces : sort_results(found.traces, read_sort(sort));
  return (
    <div class={query_wrong || searching.value ? 'outcome stale' : 'outcome'} aria-busy={searching.value} data-q={found.q}>
      <Picture {...props} found={found} />
      <div class="with-facets">
        {analysed && <Facets q={found.q} run={props.run} />}
        <div class="found">
          <ResultHead state={props.state} show={props.show} />
          {props.state.table ? <ResultTable q={found.q} traces={traces} has_more={found.cursor !== null} state={props.state} show={props.show} /> : <ResultList traces={traces} />}
          <More limit={boot.value?.limits.search_limit_max ?? 0} />
        </div>
      </div>
    </div>
  );
}

/** Every matching span as a heatmap, the newest traces as points, or nothing but the list. */
function Picture(props: Shown & { found: NonNullable<typeof results.value> }) {
  const { found, state, show } = props;
  const views = can_analyse() ? kSearchViews : kSearchViews.filter((view) => view !== 'heat');
  const view = can_analyse() || state.view === 'list' ? state.view : 'scatter';
  return (
    <>
      <div class="segmented picture-choice" role="group" aria-label={texts.search.picture}>
        {views.map((name) => (
          <button key={name} type="button" aria-pressed={view === name} onClick={() => show({ view: name })}>
            {kViewNames[name]}
          </button>
        ))}
      </div>
      {view === 'heat' && (
        <Analysis q={found.q} from={found.from} to={found.to} box={state.box} choose={(box) => show({ box })} run={props.run} />
      )}
      {view === 'scatter' && (
        <div class="card scatter-card">
          <Scatter traces={found.traces} from={found.from} to={found.to} />
        </div>
      )}
    </>
  );
}

function ResultHead(props: Pick<Shown, 'state' | 'show'>) {
  const found = results.value;
  if (!found) return null;
  const { stats } = found;
  return (
    <div class="result-head">
      <h2>
        {found.cursor ? texts.search.first_traces[order_of(found.sort)](count(found.traces.length)) : texts.counts.traces(found.traces.length)}
      </h2>
      {stats && (
        <span class="muted small">
          {texts.search.spans_looked_at_in(count_short(stats.scanned_spans))} {stats.ms < 0.1 ? texts.search.less_than_0_1 : stats.ms < 10 ? stats.ms.toFixed(1) : Math.round(stats.ms)} {texts.search.ms}
        </span>
      )}
      {stats?.partial && (
        <span class="note" role="status">
          {texts.search.not_everything_was_looked_at}{stats.reason ? `: ${stats.reason}` : ''}{texts.search.there_may_be_more}
        </span>
      )}
      <span class="result-tools">
        {!props.state.table && !has_hint(found.q) && <OrderChoice state={props.state} show={props.show} />}
        <span class="segmented" role="group" aria-label={texts.search.results_as}>
          <button type="button" aria-pressed={!props.state.table} onClick={() => props.show({ table: false })}>{texts.search.list}</button>
          <button type="button" aria-pressed={props.state.table} onClick={() => props.show({ table: true })}>{texts.search.table}</button>
        </span>
      </span>
    </div>
  );
}

/** Orders that have a name; others are by columns of the table. */
type Order = (typeof kListOrders)[number] | 'other';
const order_of = (sort: string): Order => kListOrders.find((order) => order === (sort === '-start' ? '' : sort)) ?? 'other';

function OrderChoice(props: Pick<Shown, 'state' | 'show'>) {
  const now = order_of(props.state.sort);
  return (
    <label>
      <span class="visually-hidden">{texts.search.order}</span>
      <select value={now} onChange={(e) => props.show({ sort: e.currentTarget.value })}>
        {kListOrders.map((order) => <option key={order} value={order}>{texts.search.orders[order]}</option>)}
        {now === 'other' && <option value="other">{texts.search.as_in_the_table}</option>}
      </select>
    </label>
  );
}

function ResultList(props: { traces: TraceSummary[] }) {
  const longest = Math.max(...props.traces.map((t) => Number(t.duration_ns)), 1);
  const now = Number(now_ns() / 1000000n);
  return (
    <ol class="results">
      {props.traces.map((trace) => (
        <ResultLine key={trace.id} trace={trace} longest={longest} now={now} />
      ))}
    </ol>
  );
}

function ResultLine(props: { trace: TraceSummary; longest: number; now: number }) {
  const { trace } = props;
  const services = [...trace.services].sort((a, b) => b.spans - a.spans);
  const slots = assign_slots(services.map((s) => s.name));
  const root = services.findIndex((s) => s.name === trace.root_service);
  const start = Number(BigInt(trace.start_ns) / 1000000n);
  const length = Number(trace.duration_ns);
  const others = services.map((s, i) => ({ ...s, slot: slots[i] })).filter((s) => s.name !== trace.root_service);
  return (
    <li class={`result${trace.errors ? ' failed' : ''}`}>
      <a href={`/trace/${trace.id}`} class="result-link">
        <span class="result-top">
          {trace.root_received && trace.root_service !== null ? (
            <Service name={trace.root_service} slot={root >= 0 ? slots[root] : 0} />
          ) : (
            <span class="service muted">
              <span class="warn-text" aria-hidden="true">⚠</span> {texts.search.root_not_received}
            </span>
          )}
          <span class="result-name">{trace.root_name ?? ''}</span>
          {trace.errors > 0 && (
            <span class="error-pill small">
              <span aria-hidden="true">✕</span> {texts.counts.errors(trace.errors)}
            </span>
          )}
          <span class="result-time" title={day_and_clock(start)}>
            <span class="result-ago">{ago(props.now - start)}</span> {props.now - start > 43_200_000 ? day_and_clock(start) : clock(start)}
          </span>
        </span>
        <span class="result-bottom">
          <span class="result-duration">{duration(length)}</span>
          <span class="result-bar" aria-hidden="true">
            <span style={{ width: `${Math.max(0.6, (100 * length) / props.longest)}%` }} />
          </span>
          <span class="result-spans">
            {texts.counts.spans(trace.spans)}
            {trace.matched > 0 && trace.matched < trace.spans ? texts.search.match(count(trace.matched)) : ''}
          </span>
          <span class="result-services">
            {others.slice(0, 5).map((s) => (
              <Service key={s.name} name={s.name} slot={s.slot} class={s.errors ? 'has-error' : ''} />
            ))}
            {others.length > 5 && <span class="muted">+{others.length - 5}</span>}
          </span>
        </span>
      </a>
      {trace.matched_spans.length > 0 && trace.matched < trace.spans && (
        <ul class="matched" aria-label={texts.search.spans_that_match}>
          {trace.matched_spans.slice(0, 3).map((span) => (
            <li key={span.id}>
              <a href={`/trace/${trace.id}?span=${span.id}`}>{span.name}</a> <span class="muted">{duration(Number(span.duration_ns))}</span>
            </li>
          ))}
          {trace.matched > 3 && <li class="muted">{texts.search.and_more(count(trace.matched - Math.min(3, trace.matched_spans.length)))}</li>}
        </ul>
      )}
    </li>
  );
}

function More(props: { limit: number }) {
  const found = results.value;
  if (!found) return null;
  if (found.cursor && found.traces.length >= props.limit && (found.sort || has_hint(found.q))) return <p class="muted end-note">{texts.search.that_is_what_is_sorted_at_once(count(found.traces.length))}</p>;
  if (!found.cursor) return <p class="muted end-note">{texts.search.that_is_all_in_this_time}</p>;
  return (
    <p class="end-note">
      <button type="button" onClick={() => void more_results()} disabled={searching.value}>
        {searching.value ? texts.search.loading : texts.search.show_more}
      </button>
    </p>
  );
}

/** j and k walk the results; Enter opens, because the links have the focus. */
function list_keys(): Record<string, (event: KeyboardEvent) => void> {
  const step = (by: number) => (event: KeyboardEvent): void => {
    const links = [...document.querySelectorAll<HTMLElement>('.result-link')];
    if (links.length === 0) return;
    event.preventDefault();
    const at = links.indexOf(document.activeElement as HTMLElement);
    const next = links[Math.max(0, Math.min(links.length - 1, at + by))];
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  };
  return { j: step(1), k: step(-1) };
}
