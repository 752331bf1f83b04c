import { computed, signal, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type ApiError, as_api_error, fetch_health, fetch_services, is_abort, search_traces } from '../../api/client.ts';
import type { Health, ServicesAnswer, ServiceSeries, TraceSummary } from '../../api/types.ts';
import { type Change, change_of } from '../../model/change.ts';
import { assign_slots } from '../../model/colors.ts';
import { ago, bytes, count_short, duration, percent, rate } from '../../model/format.ts';
import { range_label, resolve_range, step_for } from '../../model/time_range.ts';
import { day_and_clock } from '../../model/format.ts';
import { quote } from '../../model/url.ts';
import { can_analyse } from '../../state/analysis.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { load_pins, type Pin, pins } from '../../state/pins.ts';
import { here_with, place, replace } from '../../state/router.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import { Sparkline } from '../../widgets/sparkline.tsx';
import * as texts from '../../texts/texts.ts';

const kRefreshMs = 10_000;
const kPoints = 60;
const kNewestErrors = 8;

type SortKey = 'change' | 'name' | 'rate' | 'errors' | 'p50' | 'p95';

const kColumns: { key: SortKey; label: string; numeric: boolean }[] = [
  { key: 'name', label: texts.home.service, numeric: false },
  { key: 'rate', label: texts.home.req_s, numeric: true },
  { key: 'errors', label: texts.home.errors, numeric: true },
  { key: 'p50', label: 'p50', numeric: true },
  { key: 'p95', label: 'p95', numeric: true },
  { key: 'change', label: texts.home.change, numeric: true },
];

/** Kept between visits, so that coming back shows the last known state at once. */
const answer = signal<ServicesAnswer | null>(null);
const health = signal<Health | null>(null);
const newest_errors = signal<TraceSummary[] | null>(null);
const sort = computed<SortKey>(() => kColumns.find((column) => column.key === place.value.params.get('sort'))?.key ?? 'change');
/** The same services at the same time of the day before; null where nothing is known of it. */
const yesterday = signal<Map<string, ServiceSeries> | null>(null);

const kDayNs = 86_400_000_000_000n;
const change_of_service = (s: ServiceSeries): Change => change_of(s.total, yesterday.value === null ? null : yesterday.value.get(s.name)?.total);

const error_share = (s: ServiceSeries): number => (s.total.count > 0 ? s.total.errors / s.total.count : 0);

const kOrders: Record<SortKey, (a: ServiceSeries, b: ServiceSeries) => number> = {
  change: (a, b) => change_of_service(b).score - change_of_service(a).score || error_share(b) - error_share(a) || (b.total.p95_ns ?? 0) - (a.total.p95_ns ?? 0),
  name: (a, b) => (a.name < b.name ? -1 : 1),
  rate: (a, b) => b.total.rate - a.total.rate,
  errors: (a, b) => error_share(b) - error_share(a),
  p50: (a, b) => (b.total.p50_ns ?? 0) - (a.total.p50_ns ?? 0),
  p95: (a, b) => (b.total.p95_ns ?? 0) - (a.total.p95_ns ?? 0),
};

const sorted = computed(() => [...(answer.value?.services ?? [])].sort(kOrders[sort.value]));

export function HomePage() {
  const error = useSignal<ApiError | null>(null);
  const attempt = useSignal(0);
  const key = `${range.value.from} ${range.value.to}`;

  useEffect(() => {
    document.title = texts.home.home_spanloom;
    void load_pins();
    const stop = new AbortController();
    let timer = 0;
    const load = async (): Promise<void> => {
      try {
        await load_all(stop.signal);
        error.value = null;
      } catch (problem) {
        if (is_abort(problem) || stop.signal.aborted) return;
        error.value = as_api_error(problem);
      }
      timer = window.setTimeout(() => void load(), kRefreshMs);
    };
    void load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, attempt.value]);

  const services = sorted.value;
  return (
    <main class="page home" id="main" tabIndex={-1}>
      <h1 class="visually-hidden">{texts.home.home}</h1>
      {error.value && <Failure error={error.value} retry={() => attempt.value++} title={answer.value ? texts.home.these_are_the_last_known_figures : undefined} />}
      {!answer.value && !error.value && <Loading what={texts.home.loading_the_services} />}
      {answer.value && <Summary services={services} />}
      {(answer.value || newest_errors.value) && (
        <div class="home-grid">
          {!answer.value ? <div /> : services.length > 0 ? <Services services={services} /> : <NoServices />}
          <div class="home-side">
            {newest_errors.value && <NewestErrors />}
            {pins.value.length > 0 && <Pinned list={pins.value} />}
          </div>
        </div>
      )}
      <HealthLine />
    </main>
  );
}

async function load_all(signal: AbortSignal): Promise<void> {
  const { from, to } = resolve_range(range.value, now_ns());
  const errors: TraceSummary[] = [];
  const ask = { q: '{ status = error }', from, to, limit: kNewestErrors, cursor: null };
  // Each part is shown as soon as it is there; one that fails leaves the others alone.
  const parts = await Promise.allSettled([
    fetch_services(from, to, step_for(from, to, kPoints), signal).then((services) => (answer.value = services)),
    fetch_services(from - kDayNs, to - kDayNs, to - from, signal).then((before) => {
      yesterday.value = before.services.length ? new Map(before.services.map((one) => [one.name, one])) : null;
    }),
    fetch_health(signal).then((state) => (health.value = state)),
    search_traces(ask, (trace) => errors.push(trace), signal).then(() => (newest_errors.value = errors.slice(0, kNewestErrors))),
  ]);
  for (const part of parts) if (part.status === 'rejected') throw part.reason;
}

function Summary(props: { services: ServiceSeries[] }) {
  const failing = props.services.filter((s) => error_share(s) >= 0.01 && s.total.errors >= 3);
  const worse = props.services.filter((s) => change_of_service(s).tone === 'worse' && !failing.includes(s));
  const worst = [...failing].sort(kOrders.errors)[0];
  const total = props.services.reduce((sum, s) => sum + s.total.rate, 0);
  const where = range_label(range.value, day_and_clock).toLowerCase();
  return (
    <div class={`summary${worst ? ' alert' : ''}`} role="status">
      {worst ? (
        <p>
          <span class="summary-mark" aria-hidden="true">✕</span>
          <strong>{failing.length === 1 ? texts.home.one_service_needs_attention : texts.home.services_need_attention(failing.length)}</strong>
          <span class="muted">
            {texts.home.of_requests_failed_in_the(worst.name, percent(worst.total.errors, worst.total.count), where)}
          </span>
          <a href={page_link('/search', { q: `{ resource.service.name = ${quote(worst.name)} && status = error }` })}>{texts.home.see_them}</a>
        </p>
      ) : (
        <p>
          <span class="summary-mark ok" aria-hidden="true">✓</span>
          <strong>{props.services.length > 0 ? texts.home.no_service_fails_more_than_1 : texts.home.nothing_was_received}</strong>
          <span class="muted">
            {texts.home.requests_s_in_the(texts.counts.services(props.services.length), rate(total), where)}
            {worse.length > 0 && texts.home.worse_than_yesterday(worse.slice(0, 3).map((s) => `${s.name} (${change_of_service(s).text})`).join(', '))}
          </span>
        </p>
      )}
    </div>
  );
}

function NoServices() {
  return (
    <div class="empty">
      <h2>{texts.home.no_service_sent_anything_in_this}</h2>
      <p>
        {texts.home.choose_a_longer_range_above_or} <a href="/welcome">{texts.home.send_a_first_trace}</a>.
      </p>
    </div>
  );
}

function Services(props: { services: ServiceSeries[] }) {
  const names = props.services.map((s) => s.name);
  const slots = assign_slots(names);
  const toggle = (key: SortKey): void => {
    replace(here_with('sort', key === 'change' || sort.value === key ? null : key));
  };
  return (
    <section class="card services" aria-label={texts.home.services_label}>
      <div class="table-scroll">
        <table class="services-table">
          <caption class="visually-hidden">{texts.home.services} {sort.value === 'change' ? texts.home.those_that_got_worst_since : texts.home.sorted_by(sort.value)}</caption>
          <thead>
            <tr>
              {kColumns.map((column) => (
                <th key={column.key} scope="col" class={column.numeric ? 'numeric' : ''} aria-sort={sort.value === column.key ? (column.numeric ? 'descending' : 'ascending') : undefined}>
                  <button type="button" class="sort" title={column.key === 'change' ? texts.home.beside_the_same_time_yesterday : undefined} onClick={() => toggle(column.key)}>
                    {column.label}
                    {sort.value === column.key && <span aria-hidden="true"> {column.numeric ? '↓' : '↑'}</span>}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {props.services.map((service, i) => (
              <ServiceLine key={service.name} service={service} slot={slots[i]} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ServiceLine(props: { service: ServiceSeries; slot: number }) {
  const { service } = props;
  const { total } = service;
  const q = `{ resource.service.name = ${quote(service.name)} }`;
  const slow = total.p95_ns === null ? q : `{ resource.service.name = ${quote(service.name)} && duration >= ${Math.floor(total.p95_ns)}ns }`;
  const failing = error_share(service) >= 0.01;
  const change = change_of_service(service);
  return (
    <tr class={failing ? 'failing' : ''}>
      <th scope="row">
        <a href={can_analyse() ? page_link(`/service/${encodeURIComponent(service.name)}`) : page_link('/search', { q })}>
          <Service name={service.name} slot={props.slot} />
        </a>
        <span class="muted small operations">{texts.counts.operations(service.operations)}</span>
      </th>
      <td class="numeric">
        <span class="cell">
          <Sparkline values={service.rate} tone="plain" />
          <span class="figure">{rate(total.rate)}</span>
        </span>
      </td>
      <td class={`numeric${failing ? ' bad' : ''}`}>
        <span class="cell">
          <Sparkline values={service.errors} tone="error" />
          {total.errors > 0 ? (
            <a class="figure" href={page_link('/search', { q: `{ resource.service.name = ${quote(service.name)} && status = error }` })}>
              {percent(total.errors, total.count)}
            </a>
          ) : (
            <span class="figure muted">0 %</span>
          )}
        </span>
      </td>
      <td class="numeric">
        <span class="cell">
          <Sparkline values={service.p50_ns} tone="time" />
          <span class="figure">{total.p50_ns === null ? '–' : duration(total.p50_ns)}</span>
        </span>
      </td>
      <td class="numeric">
        <span class="cell">
          <Sparkline values={service.p95_ns} tone="time" />
          {total.p95_ns === null ? (
            <span class="figure">–</span>
          ) : (
            <a class="figure" href={page_link('/search', { q: slow })} title={texts.home.find_the_slowest_requests}>
              {duration(total.p95_ns)}
            </a>
          )}
        </span>
      </td>
      <td class={`numeric since ${change.tone}`} title={change.detail}>
        {change.tone === 'worse' && <span aria-hidden="true">▲ </span>}
        {change.tone === 'better' && <span aria-hidden="true">▼ </span>}
        {change.text}
        <span class="visually-hidden">, {change.detail}</span>
      </td>
    </tr>
  );
}

function NewestErrors() {
  const traces = newest_errors.value ?? [];
  const now = Number(now_ns() / 1000000n);
  return (
    <section class="card newest-errors" aria-labelledby="newest-errors">
      <h2 id="newest-errors">{texts.home.newest_errors}</h2>
      {traces.length === 0 && <p class="muted">{texts.home.no_trace_with_an_error_in}</p>}
      <ol class="plain">
        {traces.map((trace) => (
          <ErrorLine key={trace.id} trace={trace} now={now} />
        ))}
      </ol>
      {traces.length > 0 && (
        <p class="card-foot">
          <a href={page_link('/search', { q: '{ status = error }' })}>{texts.home.all_traces_with_errors}</a>
        </p>
      )}
    </section>
  );
}

function ErrorLine(props: { trace: TraceSummary; now: number }) {
  const { trace, now } = props;
  const slots = assign_slots(trace.services.map((s) => s.name));
  const root = trace.root_service ?? '';
  const at = trace.services.findIndex((s) => s.name === root);
  // The last of the failing spans is nearest to the cause: those before it are mostly its callers.
  const first = trace.matched_spans[trace.matched_spans.length - 1];
  const where = trace.services.filter((s) => s.errors > 0).map((s) => s.name);
  return (
    <li>
      <a href={`/trace/${trace.id}${first ? `?span=${first.id}` : ''}`}>
        <span class="error-line">
          <Service name={root || texts.home.root_not_received} slot={at >= 0 ? slots[at] : 0} />
          <span class="error-name">{trace.root_name ?? ''}</span>
        </span>
        <span class="error-sub">
          {first && <span class="error-text">{first.name}</span>}
          <span class="muted">{where.length > 0 ? texts.home.in_word(where.slice(0, 2).join(', ')) : ''}</span>
          <span class="muted when">{ago(now - Number(BigInt(trace.start_ns) / 1000000n))}</span>
        </span>
      </a>
    </li>
  );
}

const kPinsShown = 8;

function Pinned(props: { list: Pin[] }) {
  const now = Number(now_ns() / 1000000n);
  return (
    <section class="card newest-errors" aria-labelledby="pinned-title">
      <h2 id="pinned-title">{texts.home.pinned_traces}</h2>
      <ol class="plain">
        {props.list.slice(0, kPinsShown).map((pin) => (
          <li key={pin.trace}>
            <a href={`/trace/${pin.trace}`}>
              <span class="error-line">
                {pin.about && <Service name={pin.about.service || texts.home.root_not_received} slot={assign_slots([pin.about.service])[0]} />}
                <span class="error-name">{pin.about?.name ?? pin.trace}</span>
              </span>
              <span class="error-sub">
                {pin.about && <span>{duration(pin.about.duration_ns)}</span>}
                {pin.about && pin.about.errors > 0 && <span class="error-text">{texts.counts.errors(pin.about.errors)}</span>}
                {pin.reason && <span class="muted">{pin.reason}</span>}
                <span class="muted when">{ago(now - (pin.about?.start_ms ?? pin.at_ms))}</span>
              </span>
            </a>
          </li>
        ))}
      </ol>
      {props.list.length > kPinsShown && <p class="muted small">{texts.home.and_more_in_ctrl_k(props.list.length - kPinsShown)}</p>}
    </section>
  );
}

function HealthLine() {
  const state = health.value;
  if (!state) return null;
  const oldest = state.oldest_ns === null ? null : Number(BigInt(state.oldest_ns) / 1000000n);
  const rejected = Number(state.rejected);
  return (
    <footer class="health" aria-label={texts.home.ingest_and_storage}>
      <span class={`health-state ${state.state === 'ok' ? 'ok' : 'bad'}`}>{state.state === 'ok' ? texts.home.receiving : `${state.state}: ${state.reason}`}</span>
      <span>
        <strong>{rate(state.spans_per_s)}</strong> {texts.home.spans_per_s}
      </span>
      <span>
        <strong>{count_short(Number(state.spans))}</strong> {texts.home.spans_stored}
      </span>
      <span>
        <strong>{bytes(Number(state.disk_bytes))}</strong> {texts.home.on_disk}
      </span>
      <span>
        <strong>{bytes(Number(state.memory_bytes))}</strong> {texts.home.memory}
      </span>
      {oldest !== null && (
        <span title={day_and_clock(oldest)}>
          {texts.home.oldest} <strong>{ago(Number(now_ns() / 1000000n) - oldest)}</strong>
        </span>
      )}
      {rejected > 0 && <span class="error-text">{texts.home.refused(texts.counts.spans(rejected))}</span>}
    </footer>
  );
}
