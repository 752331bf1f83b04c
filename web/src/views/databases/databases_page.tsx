import { useEffect } from 'preact/hooks';
import { query_range, type Series } from '../../api/metrics.ts';
import { count, duration, percent, rate } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { join_totals, statement_shape, type Total } from '../../model/totals.ts';
import { quote } from '../../model/url.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import * as texts from '../../texts/texts.ts';

const kText = 'span.db.query.text';
const kSystem = 'span.db.system.name';
const kService = 'resource.service.name';
const kShown = 100;

interface Statement {
  shape: string;
  example: string;
  system: string;
  service: string;
  count: number;
  errors: number;
  time: number;
}

/** The statements that take the most time, whatever trace they are in; those that differ in their data only are one. */
export function DatabasesPage() {
  useEffect(() => {
    document.title = texts.databases.databases_spanloom;
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, ask);
  const found = answer.value;
  const whole = found?.statements.reduce((sum, s) => sum + s.time, 0) ?? 0;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.databases.databases}</h1>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what={texts.databases.adding_up_statements} />}
      {found?.statements.length === 0 && <p class="muted">{texts.databases.no_span_of_this_time_range}<code>db.query.text</code>).</p>}
      {found && found.statements.length > 0 && (
        <section class={`card${answer.loading ? ' stale' : ''}`} aria-label={texts.databases.statements}>
          <div class="table-scroll">
            <table class="sums statements">
              <thead><tr><th scope="col">{texts.databases.statement}</th><th scope="col" class="text">{texts.databases.service}</th><th scope="col">{texts.databases.calls_s}</th><th scope="col">{texts.databases.mean}</th><th scope="col">{texts.databases.errors}</th><th scope="col">{texts.databases.share_of_the_time}</th></tr></thead>
              <tbody>
                {found.statements.slice(0, kShown).map((s) => (
                  <tr key={`${s.service} ${s.system} ${s.shape}`}>
                    <th scope="row"><a class="mono" href={page_link('/search', { q: `{ ${kText} = ${quote(s.example)} && ${kService} = ${quote(s.service)} }` })}>{s.shape}</a> <span class="muted">{s.system}</span></th>
                    <td class="text">{s.service}</td>
                    <td>{rate(s.count / found.seconds)}</td>
                    <td>{duration(s.time / s.count)}</td>
                    <td class={s.errors ? 'error-text' : 'muted'}>{percent(s.errors, s.count)}</td>
                    <td><span class="share" style={{ '--share': String(whole ? s.time / whole : 0) }}>{percent(s.time, whole)}</span></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <Sampled on={found.sampled} />
          <p class="muted small card-foot">
            {found.statements.length > kShown ? texts.databases.the_first_of_statements(kShown, count(found.statements.length)) : `${texts.counts.statements(found.statements.length)}.`}
            {found.partial ? ` ${texts.databases.not_everything_was_counted(found.partial)}` : ''}
          </p>
        </section>
      )}
    </main>
  );
}

async function ask(signal: AbortSignal): Promise<{ seconds: number; statements: Statement[]; partial: string; sampled: boolean }> {
  const { from, to } = resolve_range(range.peek(), now_ns());
  let partial = '';
  let sampled = false;
  const get = async (query: string): Promise<Series[]> => {
    const answer = await query_range(query, from, to, to - from, signal);
    partial ||= answer.partial;
    sampled ||= answer.sampled;
    return answer.series;
  };
  const keys = [kText, kSystem, kService];
  const by = `by(${keys.join(', ')})`;
  const [count, errors, time] = await Promise.all([
    get(`{ ${kText} != nil } | count_over_time() ${by}`), get(`{ ${kText} != nil && status = error } | count_over_time() ${by}`), get(`{ ${kText} != nil } | sum_over_time(duration) ${by}`),
  ]);
  return { seconds: Number(to - from) / 1e9, statements: join_shapes(join_totals({ count, errors, time }, keys)), partial, sampled };
}

function join_shapes(totals: Total[]): Statement[] {
  const found = new Map<string, Statement>();
  for (const total of totals) {
    const shape = statement_shape(total.labels[kText]);
    const system = total.labels[kSystem] === 'nil' ? '' : total.labels[kSystem];
    const key = JSON.stringify([shape, system, total.labels[kService]]);
    const known = found.get(key) ?? { shape, example: total.labels[kText], system, service: total.labels[kService], count: 0, errors: 0, time: 0 };
    known.count += total.count;
    known.errors += total.errors;
    known.time += total.time;
    found.set(key, known);
  }
  return [...found.values()].sort((a, b) => b.time - a.time);
}
