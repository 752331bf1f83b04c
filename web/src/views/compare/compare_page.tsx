import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { fetch_skeleton } from '../../api/client.ts';
import { assign_slots } from '../../model/colors.ts';
import { count, duration } from '../../model/format.ts';
import { decode_skeleton } from '../../model/slt1.ts';
import { Trace } from '../../model/trace.ts';
import { compare_traces, type OperationDiff } from '../../model/trace_diff.ts';
import { read_side, type Side } from '../../model/groups.ts';
import { trace_id_in, with_query } from '../../model/url.ts';
import { use_answer } from '../../state/answer.ts';
import { go, place } from '../../state/router.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import { Groups } from './groups.tsx';
import { BesidePopulation } from './population.tsx';
import * as texts from '../../texts/texts.ts';

/** What differs: between two traces, between a trace and a population, between two groups of spans. */
export function ComparePage() {
  const params = place.value.params;
  const [a_text, b_text] = [params.get('a') ?? '', params.get('b') ?? ''];
  const a = read_side(a_text);
  const b = read_side(b_text);
  useEffect(() => {
    document.title = texts.compare.compare_spanloom;
  }, []);
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.compare.compare}</h1>
      <Choose key={`${a_text} ${b_text}`} a={a_text} b={b_text} />
      <Chosen a={a} b={b} />
    </main>
  );
}

function Chosen(props: { a: Side; b: Side }) {
  const { a, b } = props;
  if (a.kind === 'trace' && b.kind === 'trace') return <Comparison a={a.id} b={b.id} />;
  if (a.kind === 'query' && b.kind === 'query') return <Groups a={a} b={b} />;
  if (a.kind === 'trace' && b.kind === 'query') return <BesidePopulation id={a.id} q={b.q} />;
  if (a.kind === 'query' && b.kind === 'trace') return <BesidePopulation id={b.id} q={a.q} />;
  return (
    <div class="prose">
      <p>{texts.compare.paste_two_traces_ids_or_links}</p>
      <ul>
        <li><strong>{texts.compare.two_traces}</strong>{texts.compare.which_operations_are_new_gone_more} <em>{texts.compare.compare}</em> {texts.compare.fills_in_the_first}</li>
        <li><strong>{texts.compare.a_trace_and_a_query}</strong>{texts.compare.what_this_trace_did_unlike_the} <em>{texts.compare.with_its_usual}</em> {texts.compare.on_its_page_takes_all_traces}</li>
        <li>
          <strong>{texts.compare.two_queries}</strong>{texts.compare.like} <code>{'{ status = error }'}</code> {texts.compare.and} <code>{'{ status != error }'}</code>{texts.compare.which_values_of_attributes_are_more}
        </li>
      </ul>
    </div>
  );
}

function Choose(props: { a: string; b: string }) {
  const a = useSignal(props.a);
  const b = useSignal(props.b);
  const problem = (text: string): string => {
    const side = read_side(text);
    return side.kind === 'wrong' ? side.problem : '';
  };
  const to = (one: string, other: string): void => {
    const clean = (text: string): string => trace_id_in(text) ?? text.trim();
    const params = new URLSearchParams(place.peek().params);
    params.set('a', clean(one));
    params.set('b', clean(other));
    go(with_query('/compare', params));
  };
  const ready = [a.value, b.value].every((text) => text.trim() !== '' && problem(text) === '');
  const said = problem(a.value) || problem(b.value);
  return (
    <form class="choose card" onSubmit={(e) => {
      e.preventDefault();
      if (ready) to(a.value, b.value);
    }}>
      <label>{texts.compare.first} <input type="text" class="mono" spellcheck={false} value={a.value} aria-invalid={problem(a.value) !== ''} onInput={(e) => (a.value = e.currentTarget.value)} /></label>
      <label>{texts.compare.second} <input type="text" class="mono" spellcheck={false} value={b.value} aria-invalid={problem(b.value) !== ''} onInput={(e) => (b.value = e.currentTarget.value)} /></label>
      <button type="submit" class="primary" disabled={!ready}>{texts.compare.compare}</button>
      <button type="button" disabled={!ready} onClick={() => to(b.value, a.value)}>{texts.compare.swap}</button>
      {said && <p class="error-text" role="status">{said}</p>}
    </form>
  );
}

function Comparison(props: { a: string; b: string }) {
  const answer = use_answer(`${props.a} ${props.b}`, async (signal) => {
    const [a, b] = await Promise.all([fetch_skeleton(props.a, '', signal), fetch_skeleton(props.b, '', signal)]);
    return { a: new Trace(decode_skeleton(a)), b: new Trace(decode_skeleton(b)) };
  });
  const found = answer.value;
  const rows = useMemo(() => (found ? compare_traces(found.a, found.b) : []), [found]);
  if (answer.error) return <Failure error={answer.error} retry={answer.retry} />;
  if (!found) return <Loading what={texts.compare.loading_both_traces} />;
  const slots = assign_slots([...new Set(rows.map((row) => row.service))].sort());
  const names = [...new Set(rows.map((row) => row.service))].sort();
  const most = Math.max(1, ...rows.map((row) => Math.abs(row.change)));
  return (
    <section class="card" aria-label={texts.compare.operations_of_both_traces}>
      <dl class="sides">
        <TraceSide name={texts.compare.first} id={props.a} trace={found.a} />
        <TraceSide name={texts.compare.second} id={props.b} trace={found.b} />
      </dl>
      <div class="table-scroll">
        <table class="sums">
          <thead><tr><th scope="col">{texts.compare.operation}</th><th scope="col">{texts.compare.spans}</th><th scope="col">{texts.compare.self_time_first}</th><th scope="col">{texts.compare.self_time_second}</th><th scope="col">{texts.compare.change}</th><th scope="col"><span class="visually-hidden">{texts.compare.change_as_a_bar}</span></th></tr></thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row.service} ${row.name}`}>
                <th scope="row"><Service name={row.service} slot={slots[names.indexOf(row.service)]} /> {row.name}</th>
                <td>{spans(row)}</td>
                <td>{row.a ? duration(row.a.self) : '–'}</td>
                <td>{row.b ? duration(row.b.self) : '–'}</td>
                <td>{word(row)}</td>
                <td class="change" aria-hidden="true"><span class={row.change > 0 ? 'more' : 'less'} style={{ width: `${(50 * Math.abs(row.change)) / most}%` }} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function TraceSide(props: { name: string; id: string; trace: Trace }) {
  const { trace } = props;
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>
        <a href={`/trace/${props.id}`}>{trace.n ? `${trace.service_of(0)} ${trace.name_of(0)}` : props.id}</a> <strong>{duration(trace.duration)}</strong>, {texts.counts.spans(trace.n)}
        {trace.error_rows.length > 0 && <span class="error-text">, {texts.counts.errors(trace.error_rows.length)}</span>}
      </dd>
    </div>
  );
}

function spans(row: OperationDiff): string {
  const [a, b] = [row.a?.count ?? 0, row.b?.count ?? 0];
  return a === b ? count(a) : `${count(a)} → ${count(b)}`;
}

function word(row: OperationDiff): string {
  if (!row.a) return texts.compare.only_in_the_second;
  if (!row.b) return texts.compare.only_in_the_first;
  if (row.change === 0) return texts.compare.the_same;
  return `${row.change > 0 ? '+' : ''}${duration(row.change)}`;
}
