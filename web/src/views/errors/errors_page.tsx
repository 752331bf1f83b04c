import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { type MetricsAnswer, query_range, type Series } from '../../api/metrics.ts';
import { ago, count, day_and_clock } from '../../model/format.ts';
import { top_frames } from '../../model/frames.ts';
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
const kStack = 'event.exception.stacktrace';
const kService = 'resource.service.name';

interface ErrorGroup {
  type: string;
  /** The innermost ones; none where there is no stack trace. */
  frames: string[];
  service: string;
  name: string;
  count: number;
  first_ms: number;
  last_ms: number;
  line: number[];
}

/** Failures that are alike, as one: exceptions by type, innermost frames and operation; failed spans without an exception by operation. */
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
            <table class="sums groups-of-errors">
              <thead><tr><th scope="col">{texts.errors.error}</th><th scope="col" class="text">{texts.errors.service_and_operation}</th><th scope="col">{texts.errors.count}</th><th scope="col">{texts.errors.over_time}</th><th scope="col">{texts.errors.first}</th><th scope="col">{texts.errors.last}</th></tr></thead>
              <tbody>
                {found.groups.map((group) => (
                  <tr key={key_of(group)}>
                    <th scope="row">
                      <a class="error-text" href={page_link('/search', { q: query_of(group) })}>{group.type || texts.errors.failed_without_an_exception}</a>
                      {group.frames.map((frame) => <code class="frame" key={frame}>{breakable(frame)}</code>)}
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
          <p class="muted small card-foot">
            {texts.errors.of_errors_first_and_last_inside(texts.counts.kinds(found.groups.length))}
            {found.partial ? ` ${texts.databases.not_everything_was_counted(found.partial)}` : ''}
          </p>
        </section>
      )}
    </main>
  );
}

/** A long name goes on in the next line behind a dot or a slash. */
function breakable(frame: string): ComponentChildren {
  return frame.split(/(?<=[./(])/).map((part, i) => (i ? [<wbr />, part] : part));
}

function query_of(group: ErrorGroup): string {
  const what = group.type ? `${kType} = ${quote(group.type)}` : 'status = error';
  return `{ ${what} && ${kService} = ${quote(group.service)} && name = ${quote(group.name)} }`;
}

function key_of(group: ErrorGroup): string {
  return [group.type, group.service, group.name, ...group.frames].join('\n');
}

interface Found {
  groups: ErrorGroup[];
  partial: string;
  sampled: boolean;
}

async function ask(signal: AbortSignal): Promise<Found> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  const step = step_for(from, to, kPoints);
  const get = (query: string): Promise<MetricsAnswer> => query_range(query, from, to, step, signal);
  const of_exceptions = (by: string): Promise<MetricsAnswer> => get(`{ ${kType} != nil } | count_over_time() by(${by})`);
  const plain = get(`{ status = error && ${kType} = nil } | count_over_time() by(${kService}, name)`);
  let exceptions = await of_exceptions(`${kType}, ${kService}, name, ${kStack}`);
  // More stack traces than series may be: then without them.
  if (exceptions.partial) exceptions = await of_exceptions(`${kType}, ${kService}, name`);
  const answers = [exceptions, await plain];
  const groups = answers.flatMap((answer) => answer.series).map((line) => group_of(line, Number(step) / 1e6)).filter((group) => group.count > 0);
  return { groups: join_alike(groups), partial: answers.map((answer) => answer.partial).find((reason) => reason) ?? '', sampled: answers.some((answer) => answer.sampled) };
}

/** Stack traces differ in their outer frames and line numbers; most first. */
function join_alike(groups: readonly ErrorGroup[]): ErrorGroup[] {
  const found = new Map<string, ErrorGroup>();
  for (const group of groups) {
    const key = key_of(group);
    const known = found.get(key);
    if (!known) {
      found.set(key, group);
      continue;
    }
    known.count += group.count;
    known.first_ms = Math.min(known.first_ms, group.first_ms);
    known.last_ms = Math.max(known.last_ms, group.last_ms);
    known.line = known.line.map((value, i) => value + (group.line[i] ?? 0));
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}

function group_of(line: Series, step_ms: number): ErrorGroup {
  const seen = line.values.map((value, i) => (value > 0 ? i : -1)).filter((i) => i >= 0);
  const { labels } = line;
  return {
    type: labels[kType] ?? '', frames: top_frames(labels[kStack] ?? ''), service: labels[kService] ?? '', name: labels.name ?? '',
    count: line.values.reduce((sum, v) => sum + v, 0),
    first_ms: seen.length ? line.times[seen[0]] : 0, last_ms: seen.length ? line.times[seen[seen.length - 1]] + step_ms : 0, line: line.values,
  };
}
