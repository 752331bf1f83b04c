import { query_range } from '../../api/metrics.ts';
import { type Difference, explain, swapped } from '../../model/explain.ts';
import { count, duration, percent } from '../../model/format.ts';
import { compare_query } from '../../model/groups.ts';
import { equals, narrow_query } from '../../model/narrow_query.ts';
import { resolve_range } from '../../model/time_range.ts';
import { join_totals, type Total } from '../../model/totals.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

interface Group {
  q: string;
  condition: string;
}

const kValues = 10;
const kShown = 15;

interface GroupsAnswer {
  a: Total | undefined;
  b: Total | undefined;
  more_in_a: Difference[];
  more_in_b: Difference[];
  partial: string;
  sampled: boolean;
}

/** Two groups of spans: how each does, and which values are more frequent in one than in the other. */
export function Groups(props: { a: Group; b: Group }) {
  const { a, b } = props;
  const answer = use_answer(`${a.q}|${b.q}|${range.value.from} ${range.value.to}`, (signal) => ask(a, b, signal));
  const found = answer.value;
  if (answer.error) return <Failure error={answer.error} retry={answer.retry} />;
  if (!found) return <Loading what={texts.compare.comparing} />;
  return (
    <div class={answer.loading ? 'stale' : ''}>
      <section class="card" aria-label={texts.compare.both_groups}>
        <table class="sums">
          <thead><tr><th scope="col">{texts.compare.group}</th><th scope="col">{texts.compare.spans}</th><th scope="col">{texts.compare.errors}</th><th scope="col">p50</th><th scope="col">p95</th></tr></thead>
          <tbody>
            <Line name={texts.compare.first} group={a} total={found.a} />
            <Line name={texts.compare.second} group={b} total={found.b} />
          </tbody>
        </table>
        <Sampled on={found.sampled} />
        {found.partial && <p class="note">{texts.compare.counts_are_lower_bounds(found.partial)}</p>}
      </section>
      <div class="two-columns">
        <Differences title={texts.compare.more_frequent_in_the_first} mine={texts.compare.first} other={texts.compare.second} q={a.q} list={found.more_in_a} />
        <Differences title={texts.compare.more_frequent_in_the_second} mine={texts.compare.second} other={texts.compare.first} q={b.q} list={found.more_in_b} />
      </div>
      <p class="muted small">{texts.compare.a_span_that_is_in_both}</p>
    </div>
  );
}

async function ask(a: Group, b: Group, signal: AbortSignal): Promise<GroupsAnswer> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  let partial = '';
  let sampled = false;
  const get = (query: string) => query_range(query, from, to, to - from, signal).then((answer) => {
    partial ||= answer.partial;
    sampled ||= answer.sampled;
    return answer.series;
  });
  const total = async (q: string): Promise<Total | undefined> => {
    const [number, errors, quantiles] = await Promise.all([
      get(`${q} | count_over_time()`), get(`${narrow_query(q, 'status = error')} | count_over_time()`), get(`${q} | quantile_over_time(duration, .5, .95)`),
    ]);
    return join_totals({ count: number, errors, quantiles }, [])[0];
  };
  const [total_a, total_b, series] = await Promise.all([total(a.q), total(b.q), get(compare_query(a.condition, b.condition, kValues))]);
  return { a: total_a, b: total_b, more_in_b: explain(series).differences, more_in_a: explain(swapped(series)).differences, partial, sampled };
}

function Line(props: { name: string; group: Group; total: Total | undefined }) {
  const { total, group } = props;
  return (
    <tr>
      <th scope="row">{props.name} <a class="mono" href={page_link('/search', { q: group.q })}>{group.q}</a></th>
      <td>{count(total?.count ?? 0)}</td>
      <td class={total?.errors ? 'error-text' : 'muted'}>{percent(total?.errors ?? 0, total?.count ?? 0)}</td>
      <td>{duration(total?.p50 ?? NaN)}</td>
      <td>{duration(total?.p95 ?? NaN)}</td>
    </tr>
  );
}

function Differences(props: { title: string; mine: string; other: string; q: string; list: Difference[] }) {
  return (
    <section class="card explain" aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.list.length === 0 && <p class="muted">{texts.compare.nothing}</p>}
      {props.list.length > 0 && (
        <table>
          <thead><tr><th scope="col">{texts.compare.attribute_and_value}</th><th scope="col">{props.mine}</th><th scope="col">{props.other}</th><th scope="col"><span class="visually-hidden">{texts.compare.shares}</span></th></tr></thead>
          <tbody>
            {props.list.slice(0, kShown).map((d) => (
              <tr key={d.attribute}>
                <th scope="row"><a href={page_link('/search', { q: narrow_query(props.q, equals(d.attribute, d.value)) })} title={texts.compare.search_for_these}><span class="muted">{d.attribute}</span> = <span class="mono">{d.value}</span></a></th>
                <td>{percent(d.inside, 1)}</td>
                <td>{percent(d.outside, 1)}</td>
                <td class="bars" aria-hidden="true"><span class="in" style={{ width: `${100 * d.inside}%` }} /><span class="out" style={{ width: `${100 * d.outside}%` }} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {props.list.length > kShown && <p class="muted small">{texts.compare.and_more_attributes(props.list.length - kShown)}</p>}
    </section>
  );
}
