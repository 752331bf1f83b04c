import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { query_range, type Series } from '../../api/metrics.ts';
import { ago, count, day_and_clock } from '../../model/format.ts';
import { type Place, places_of } from '../../model/frames.ts';
import { resolve_range, step_for } from '../../model/time_range.ts';
import { quote } from '../../model/url.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Sparkline } from '../../widgets/sparkline.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

const kPoints = 60;
const kType = 'event.exception.type';
const kService = 'resource.service.name';

interface ErrorGroup {
  type: string;
  service: string;
  name: string;
  count: number;
  first_ms: number;
  last_ms: number;
  line: number[];
}

/** Failures that are alike, as one: exceptions by type, service and operation; failed spans without an exception by operation. */
export function ErrorsPage() {
  useEffect(() => {
    document.title = texts.errors.errors_spanloom;
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, ask);
  const found = answer.value;
  const now = Number(now_ns() / 1000000n);
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.errors.errors}</h1>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what={texts.errors.counting_errors} />}
      {found?.groups.length === 0 && <p class="muted">{texts.errors.no_span_failed_in_this_time}</p>}
      {found && found.groups.length > 0 && (
        <section class={`card${answer.loading ? ' stale' : ''}`} aria-label={texts.errors.errors}>
          <div class="table-scroll">
            <table class="sums">
              <thead><tr><th scope="col">{texts.errors.error}</th><th scope="col" class="text">{texts.errors.service_and_operation}</th><th scope="col">{texts.errors.count}</th><th scope="col">{texts.errors.over_time}</th><th scope="col">{texts.errors.first}</th><th scope="col">{texts.errors.last}</th></tr></thead>
              <tbody>
                {found.groups.map((group) => (
                  <tr key={`${group.type} ${group.service} ${group.name}`}>
                    <th scope="row">
                      <a class="error-text" href={page_link('/search', { q: query_of(group) })}>{group.type || texts.errors.failed_without_an_exception}</a>
                      {group.type && <Places group={group} />}
                    </th>
                    <td class="text"><strong>{group.service}</strong> {group.name}</td>
                    <td>{count(group.count)}</td>
                    <td><Sparkline values={group.line} tone="error" /></td>
                    <td title={day_and_clock(group.first_ms)}>{ago(now - group.first_ms)}</td>
                    <td title={day_and_clock(group.last_ms)}>{ago(now - group.last_ms)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <Sampled on={found.sampled} />
          <p class="muted small card-foot">{texts.errors.of_errors_first_and_last_inside(texts.counts.kinds(found.groups.length))}</p>
        </section>
      )}
    </main>
  );
}

const kStack = 'event.exception.stacktrace';

/** Where in the code the exceptions came from, by their innermost frames: asked for when it is opened. */
function Places(props: { group: ErrorGroup }) {
  const open = useSignal(false);
  const places = useSignal<Place[] | null>(null);
  const problem = useSignal('');
  const toggle = (): void => {
    open.value = !open.value;
    if (!open.value || places.value) return;
    const { from, to } = resolve_range(range.peek(), now_ns());
    query_range(`${query_of(props.group)} | count_over_time() by(${kStack})`, from, to, to - from)
      .then((answer) => {
        places.value = places_of(answer.series.map((line) => ({ stack: line.labels[kStack] ?? '', count: line.values.reduce((sum, v) => sum + v, 0) })));
      })
      .catch((error: Error) => (problem.value = error.message));
  };
  return (
    <div class="places">
      <button type="button" class="link small" aria-expanded={open.value} onClick={toggle}>{texts.errors.where}</button>
      {open.value && problem.value && <span class="error-text" role="alert">{problem.value}</span>}
      {open.value && places.value && (
        <ol>
          {places.value.map((place) => (
            <li key={place.frames.join(' ')}>
              <span class="muted">{count(place.count)} ×</span> {place.frames.length ? <code>{place.frames.join(' ← ')}</code> : <span class="muted">{texts.errors.without_a_stack_trace}</span>}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function query_of(group: ErrorGroup): string {
  const what = group.type ? `${kType} = ${quote(group.type)}` : 'status = error';
  return `{ ${what} && ${kService} = ${quote(group.service)} && name = ${quote(group.name)} }`;
}

async function ask(signal: AbortSignal): Promise<{ groups: ErrorGroup[]; sampled: boolean }> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  const step = step_for(from, to, kPoints);
  let sampled = false;
  const get = (query: string): Promise<Series[]> => query_range(query, from, to, step, signal).then((answer) => {
    sampled ||= answer.sampled;
    return answer.series;
  });
  const [exceptions, plain] = await Promise.all([
    get(`{ ${kType} != nil } | count_over_time() by(${kType}, ${kService}, name)`), get(`{ status = error && ${kType} = nil } | count_over_time() by(${kService}, name)`),
  ]);
  const groups = [...exceptions, ...plain].map((line) => group_of(line, Number(step) / 1e6)).filter((group) => group.count > 0).sort((a, b) => b.count - a.count);
  return { groups, sampled };
}

function group_of(line: Series, step_ms: number): ErrorGroup {
  const seen = line.values.map((value, i) => (value > 0 ? i : -1)).filter((i) => i >= 0);
  const { labels } = line;
  return {
    type: labels[kType] ?? '', service: labels[kService] ?? '', name: labels.name ?? '', count: line.values.reduce((sum, v) => sum + v, 0),
    first_ms: seen.length ? line.times[seen[0]] : 0, last_ms: seen.length ? line.times[seen[seen.length - 1]] + step_ms : 0, line: line.values,
  };
}
