import { useSignal } from '@preact/signals';
import type { TraceSummary } from '../../api/types.ts';
import { assign_slots } from '../../model/colors.ts';
import { count, day_and_clock, duration } from '../../model/format.ts';
import { columns_of, columns_text, is_sorted_by_server, kResultColumns, next_sort, read_sort, type ResultColumn } from '../../model/result_table.ts';
import type { SearchState } from '../../model/url.ts';
import { Service } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

const kTitles: Record<ResultColumn, string> = {
  start: texts.search.start, service: texts.search.service, name: texts.search.root, duration: texts.search.duration, spans: texts.search.spans, errors: texts.search.errors, matched: texts.search.matching, services: texts.search.services, id: texts.search.trace_id,
};
const kTexts: readonly ResultColumn[] = ['start', 'service', 'name', 'id'];

/** The results as a table with chosen columns. Where the server cannot sort by a column, only those that are loaded are in its order, and that is said. */
export function ResultTable(props: { q: string; traces: TraceSummary[]; has_more: boolean; state: SearchState; show: (change: Partial<SearchState>) => void }) {
  const { state, show, traces } = props;
  const choosing = useSignal(false);
  const columns = columns_of(state.columns);
  const sort = read_sort(state.sort);
  const toggle = (column: ResultColumn): void => {
    const next = columns.includes(column) ? columns.filter((one) => one !== column) : [...columns, column];
    if (next.length) show({ columns: columns_text(next) });
  };
  return (
    <>
      <div class="result-head">
        {sort && props.has_more && !is_sorted_by_server(props.q, state.sort) && <span class="note">{texts.search.only_loaded_are_sorted(count(traces.length))}</span>}
        <span class="result-tools">
          <button type="button" aria-expanded={choosing.value} onClick={() => (choosing.value = !choosing.value)}>{texts.search.columns}</button>
        </span>
      </div>
      {choosing.value && (
        <fieldset class="columns-choice">
          <legend class="visually-hidden">{texts.search.columns}</legend>
          {kResultColumns.map((column) => (
            <label key={column} class="check">
              <input type="checkbox" checked={columns.includes(column)} onChange={() => toggle(column)} />
              <span>{kTitles[column]}</span>
            </label>
          ))}
        </fieldset>
      )}
      <div class="result-table" tabIndex={0} role="region" aria-label={texts.search.results}>
        <table class="sums">
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} scope="col" class={kTexts.includes(column) ? 'text' : ''} aria-sort={sort?.[0] === column ? (sort[1] === 1 ? 'ascending' : 'descending') : undefined}>
                  <button type="button" class="sort" onClick={() => show({ sort: next_sort(column, sort) })}>{kTitles[column]}</button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {traces.map((trace) => (
              <tr key={trace.id} class={trace.errors ? 'failed' : ''}>
                {columns.map((column, i) => <Cell key={column} column={column} trace={trace} is_first={i === 0} />)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Cell(props: { column: ResultColumn; trace: TraceSummary; is_first: boolean }) {
  const { column, trace } = props;
  const text = content(column, trace);
  const kind = kTexts.includes(column) ? 'text' : '';
  if (props.is_first) return <th scope="row"><a class="result-link-cell result-link" href={`/trace/${trace.id}`}>{text}</a></th>;
  if (column === 'id' || column === 'name') return <td class={`${kind}${column === 'id' ? ' mono' : ''}`}><a href={`/trace/${trace.id}`}>{text}</a></td>;
  return <td class={column === 'errors' && trace.errors ? 'error-text' : kind}>{text}</td>;
}

function content(column: ResultColumn, trace: TraceSummary) {
  switch (column) {
    case 'start': return day_and_clock(Number(BigInt(trace.start_ns) / 1000000n));
    case 'service': return <Service name={trace.root_service ?? texts.search.root_not_received} slot={assign_slots([trace.root_service ?? ''])[0]} />;
    case 'name': return trace.root_name ?? '–';
    case 'duration': return duration(Number(trace.duration_ns));
    case 'spans': return count(trace.spans);
    case 'errors': return trace.errors ? `✕ ${count(trace.errors)}` : '0';
    case 'matched': return count(trace.matched);
    case 'services': return count(trace.services.length);
    case 'id': return trace.id;
  }
}
