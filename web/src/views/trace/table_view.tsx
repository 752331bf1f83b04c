import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { SpanRow } from '../../api/types.ts';
import { count, duration, percent } from '../../model/format.ts';
import { type Group, type GroupBy, group_spans } from '../../model/operations.ts';
import { beside_usual, type UsualDurations } from '../../model/usual.ts';
import { Service } from '../../widgets/bits.tsx';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kGroupings: [GroupBy, string][] = [
  ['operation', texts.trace.operation], ['service', texts.trace.service], ['name', texts.trace.span_name], ['kind', texts.trace.kind], ['resource', texts.trace.resource],
];
const kShownFirst = 200;
/** Attributes are asked for in parts, and not at all of larger traces. */
const kAttributeRowsMax = 20_000;
const kRowsPerCall = 500;

type Column = 'name' | 'count' | 'errors' | 'total' | 'self' | 'critical' | 'p50' | 'p95' | 'max' | 'usual';
const kColumns: [Column, string, string][] = [
  ['name', texts.trace.operation, ''], ['count', texts.trace.spans, ''], ['errors', texts.trace.errors, ''],
  ['total', texts.trace.total, texts.trace.sum_of_the_durations_spans_that],
  ['self', texts.trace.self, texts.trace.time_that_no_child_accounts_for], ['critical', texts.trace.critical_path_title, texts.trace.share_of_the_critical_path_that],
  ['p50', 'p50', texts.trace.half_of_the_spans_are_not], ['p95', 'p95', texts.trace.most_of_the_spans_are_not_longer], ['max', texts.trace.longest, ''],
  ['usual', texts.trace.usual_p50_p95, texts.trace.of_this_operation_in_the_day],
];

function read_sort(text: string): [Column, 1 | -1] {
  const column = kColumns.find(([name]) => name === text.replace(/^-/, ''))?.[0];
  return column ? [column, text.startsWith('-') ? -1 : 1] : ['self', -1];
}

/** The spans of the trace added up per operation, or by anything else. Follows the search: what does not match is left out. */
export function TableView(props: { view: ViewState }) {
  const { view } = props;
  const { trace } = view;
  const by = view.group_by.value;
  const sort = read_sort(view.table_sort.value);
  const all = useSignal(false);
  const labels = useSignal<{ key: string; values: string[] } | null>(null);
  const problem = useSignal('');
  const known = kGroupings.some(([name]) => name === by);
  const mask = view.match_mask.value;

  useEffect(() => {
    labels.value = null;
    problem.value = '';
    if (known) return;
    const stop = new AbortController();
    labels_of(view, by, stop.signal)
      .then((values) => (labels.value = { key: by, values }))
      .catch((error: Error) => {
        if (!stop.signal.aborted) problem.value = error.message;
      });
    return () => stop.abort();
  }, [view, by]);

  const groups = useMemo(() => {
    if (known) return group_spans(trace, by as GroupBy, mask);
    return labels.value?.key === by ? group_spans(trace, 'name', mask, labels.value.values) : [];
  }, [trace, by, mask, labels.value]);
  const usual = by === 'operation' ? view.usual.value : null;
  const usual_of = (group: Group): UsualDurations | null => usual?.of(group.service_name, group.name, trace.kind_of(group.longest)) ?? null;
  const columns = usual ? kColumns : kColumns.filter(([column]) => column !== 'usual');
  const sorted = useMemo(() => order(groups, sort, usual_of), [groups, view.table_sort.value, usual]);
  const critical = groups.reduce((sum, group) => sum + group.critical, 0);
  const shown = all.value ? sorted : sorted.slice(0, kShownFirst);
  return (
    <div class="table-view" tabIndex={0} role="region" aria-label={texts.trace.spans_added_up}>
      <GroupBy by={by} known={known} choose={(next) => view.set_group_by(next)} />
      {problem.value && <p class="failure" role="alert">{problem.value}</p>}
      {!known && !problem.value && labels.value === null && <p class="muted">{texts.trace.reading_of_spans(by, count(trace.n))}</p>}
      <table class="sums">
        <thead>
          <tr>
            {columns.map(([column, title, hint]) => (
              <th key={column} scope="col" aria-sort={sort[0] === column ? (sort[1] === 1 ? 'ascending' : 'descending') : undefined}>
                <button type="button" class="sort" title={hint} onClick={() => {
                  const is_ascending = sort[0] === column ? sort[1] === -1 : column === 'name';
                  view.set_table_sort(`${is_ascending ? '' : '-'}${column}`);
                }}>
                  {column === 'name' ? (kGroupings.find(([name]) => name === by)?.[1] ?? by) : title}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((group) => (
            <Line key={group.key} group={group} view={view} critical={critical} usual={usual ? usual_of(group) : undefined} />
          ))}
        </tbody>
      </table>
      {sorted.length > shown.length && (
        <button type="button" onClick={() => (all.value = true)}>
          {texts.trace.show_all(count(sorted.length))}
        </button>
      )}
      {groups.length === 0 && known && <p class="muted">{texts.trace.no_span_matches(view.find.value)}</p>}
    </div>
  );
}

function GroupBy(props: { by: string; known: boolean; choose: (by: string) => void }) {
  const typed = useSignal(props.known ? '' : props.by);
  return (
    <form class="group-by" onSubmit={(e) => {
      e.preventDefault();
      if (typed.value.trim()) props.choose(typed.value.trim());
    }}>
      <label>
        {texts.trace.group_by}{' '}
        <select value={props.known ? props.by : ''} onChange={(e) => e.currentTarget.value && props.choose(e.currentTarget.value)}>
          {kGroupings.map(([name, title]) => (
            <option key={name} value={name}>{title}</option>
          ))}
          {!props.known && <option value="">{props.by}</option>}
        </select>
      </label>
      <label>
        {texts.trace.or_by_attribute}{' '}
        <input type="text" value={typed.value} placeholder="http.route" spellcheck={false} onInput={(e) => (typed.value = e.currentTarget.value)} />
      </label>
      <button type="submit" disabled={!typed.value.trim()}>{texts.trace.group}</button>
    </form>
  );
}

/** `usual`: undefined where that is not shown, null where it is not known. */
function Line(props: { group: Group; view: ViewState; critical: number; usual: UsualDurations | null | undefined }) {
  const { group, view, critical, usual } = props;
  const chosen = group.rows.length === 1 ? view.selected.value === group.rows[0] : view.selected.value === group.longest;
  return (
    <tr class={chosen ? 'selected' : ''}>
      <th scope="row">
        <button type="button" class="operation-link" onClick={() => view.select(group.longest)} title={texts.trace.select_its_longest_span}>
          {group.service >= 0 && <Service name={group.service_name} slot={view.trace.slots[group.service]} />}
          <span class="operation-name">{group.name || (group.service >= 0 ? '' : texts.trace.not_set)}</span>
        </button>
      </th>
      <td>{count(group.count)}</td>
      <td class={group.errors ? 'error-text' : 'muted'}>{group.errors ? `✕ ${count(group.errors)}` : '0'}</td>
      <td>{duration(group.total)}</td>
      <td>
        <span class="share" style={{ '--share': String(group.self / view.trace.duration) }}>{duration(group.self)}</span>
      </td>
      <td>{critical > 0 ? percent(group.critical, critical) : '–'}</td>
      <td>{duration(group.p50)}</td>
      <td>{duration(group.p95)}</td>
      <td>{duration(group.max)}</td>
      {usual === null && <td class="muted">–</td>}
      {usual && (
        <td class={group.max > usual.p95_ns * 1.1 ? 'warn-text' : 'muted'} title={beside_usual(group.max, usual) && texts.trace.the_longest(beside_usual(group.max, usual))}>
          {duration(usual.p50_ns)} · {duration(usual.p95_ns)}
        </td>
      )}
    </tr>
  );
}

function order(groups: Group[], [column, direction]: [Column, 1 | -1], usual_of: (group: Group) => UsualDurations | null): Group[] {
  const text = (group: Group): string => `${group.service_name} ${group.name}`;
  const value = (group: Group): number => {
    if (column === 'name') return 0;
    if (column !== 'usual') return group[column];
    const usual = usual_of(group);
    return usual && usual.p95_ns > 0 ? group.max / usual.p95_ns : 0;
  };
  return [...groups].sort((a, b) => direction * (column === 'name' ? (text(a) < text(b) ? -1 : 1) : value(a) - value(b)));
}

/** The value of an attribute in every span, as text: of the span itself, else of its resource. '' where it has none. */
async function labels_of(view: ViewState, key: string, signal: AbortSignal): Promise<string[]> {
  const { trace } = view;
  if (trace.n > kAttributeRowsMax) {
    throw new Error(texts.trace.too_many_to_group(count(kAttributeRowsMax), count(trace.n)));
  }
  const out: string[] = new Array<string>(trace.n).fill('');
  for (let from = 0; from < trace.n; from += kRowsPerCall) {
    const rows = Array.from({ length: Math.min(trace.n - from, kRowsPerCall) }, (_, i) => from + i);
    for (const row of await view.source.read(rows, signal)) out[row.row] = value_of(row, key);
  }
  return out;
}

function value_of(row: SpanRow, key: string): string {
  const found = row.attributes.find((item) => item.key === key) ?? row.resource.attributes.find((item) => item.key === key);
  if (!found || found.value === null || found.value === undefined) return '';
  return typeof found.value === 'object' ? JSON.stringify(found.value) : String(found.value);
}
