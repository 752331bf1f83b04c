import { useMemo } from 'preact/hooks';
import { fetch_skeleton } from '../../api/client.ts';
import { query_range } from '../../api/metrics.ts';
import { assign_slots } from '../../model/colors.ts';
import { count, count_short, duration } from '../../model/format.ts';
import { narrow_query } from '../../model/narrow_query.ts';
import { beside_population, type Beside } from '../../model/population.ts';
import { decode_skeleton } from '../../model/slt1.ts';
import { resolve_range } from '../../model/time_range.ts';
import { join_totals } from '../../model/totals.ts';
import { Trace } from '../../model/trace.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

const kService = 'resource.service.name';

/** One trace beside all that a query finds: per operation, how often and how long here and there. */
export function BesidePopulation(props: { id: string; q: string }) {
  const { id, q } = props;
  const answer = use_answer(`${id} ${q} ${range.value.from} ${range.value.to}`, (signal) => ask(id, q, signal));
  const found = answer.value;
  const rows = useMemo(() => (found ? beside_population(found.trace, found.operations, found.traces) : []), [found]);
  if (answer.error) return <Failure error={answer.error} retry={answer.retry} />;
  if (!found) return <Loading what={texts.compare.counting} />;
  const names = [...new Set(rows.map((row) => row.service))].sort();
  const slots = assign_slots(names);
  return (
    <section class={`card${answer.loading ? ' stale' : ''}`} aria-label={texts.compare.the_trace_beside_the_others}>
      <dl class="sides">
        <div>
          <dt>{texts.compare.this_trace}</dt>
          <dd><a href={`/trace/${id}`}>{found.trace.n ? `${found.trace.service_of(0)} ${found.trace.name_of(0)}` : id}</a> <strong>{duration(found.trace.duration)}</strong>, {texts.counts.spans(found.trace.n)}</dd>
        </div>
        <div>
          <dt>{texts.compare.the_others}</dt>
          <dd><a class="mono" href={page_link('/search', { q })}>{q}</a> {texts.compare.with_a_root(texts.counts.traces(found.traces))}</dd>
        </div>
      </dl>
      <Sampled on={found.sampled} />
      {found.traces === 0 && <p class="muted">{texts.compare.no_root_span_is_in_this}</p>}
      <div class="table-scroll">
        <table class="sums">
          <thead><tr><th scope="col">{texts.compare.operation}</th><th scope="col">{texts.compare.spans_here}</th><th scope="col">{texts.compare.usual_per_trace}</th><th scope="col">{texts.compare.longest_here}</th><th scope="col">{texts.compare.usual_p50}</th><th scope="col">{texts.compare.usual_p95}</th><th scope="col">{texts.compare.what_is_unlike}</th></tr></thead>
          <tbody>
            {rows.map((row) => (
              <tr key={JSON.stringify([row.service, row.name])}>
                <th scope="row"><Service name={row.service} slot={slots[names.indexOf(row.service)]} /> {row.name}</th>
                <td>{row.here ? count(row.here) : '–'}</td>
                <td>{row.usual_count === null ? '–' : row.usual_count < 0.05 ? '< 0.1' : row.usual_count < 10 ? row.usual_count.toFixed(1) : count_short(row.usual_count)}</td>
                <td>{row.here ? duration(row.longest) : '–'}</td>
                <td>{duration(row.p50)}</td>
                <td>{duration(row.p95)}</td>
                <td class={row.score > 0 ? 'warn-text' : 'muted'}>{row.words}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

async function ask(id: string, q: string, signal: AbortSignal): Promise<{ trace: Trace; operations: Beside[]; traces: number; sampled: boolean }> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  let sampled = false;
  const get = (query: string) => query_range(query, from, to, to - from, signal).then((answer) => {
    sampled ||= answer.sampled;
    return answer.series;
  });
  const by = `by(${kService}, name)`;
  const [bytes, number, quantiles, roots] = await Promise.all([
    fetch_skeleton(id, '', signal), get(`${q} | count_over_time() ${by}`), get(`${q} | quantile_over_time(duration, .5, .95) ${by}`), get(`${narrow_query(q, 'nestedSetParent < 0')} | count_over_time()`),
  ]);
  const operations = join_totals({ count: number, quantiles }, [kService, 'name']).map((total) => ({
    service: total.labels[kService], name: total.labels.name, count: total.count, p50: total.p50, p95: total.p95,
  }));
  const traces = roots.reduce((sum, line) => sum + line.values.reduce((all, value) => all + (Number.isFinite(value) ? value : 0), 0), 0);
  return { trace: new Trace(decode_skeleton(bytes)), operations, traces, sampled };
}
