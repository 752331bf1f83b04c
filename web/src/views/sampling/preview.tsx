import type { ComponentChildren } from 'preact';
import type { ApiError } from '../../api/client.ts';
import type { PreviewCount } from '../../api/keep.ts';
import { assign_slots } from '../../model/colors.ts';
import { bytes, count, day_and_clock, percent } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { now_ns, page_link, range } from '../../state/app.ts';
import type { Judged } from '../../state/judged.ts';
import { Failure, Service } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

const kServicesShown = 20;
const at = (ns: string): string => day_and_clock(Number(BigInt(ns) / 1000000n));

/** Which traces are judged: all that are recent, or those of the chosen time range. */
export type Only = 'all' | 'chosen';
export const range_of = (only: Only): { from: bigint; to: bigint } | null => (only === 'all' ? null : resolve_range(range.peek(), now_ns()));

const kTooLong = 504;

/** What went wrong; where it took too long, a way to ask for less. */
export function Failed(props: { error: ApiError; try_less: () => void }) {
  return (
    <>
      <Failure error={props.error} />
      {props.error.status === kTooLong && <p><button type="button" onClick={props.try_less}>{texts.sampling.only_the_chosen_time}</button></p>}
    </>
  );
}

/** Said with the figures, so that nobody takes them for what has happened. */
export function PreviewPart(props: { judged: Judged }) {
  return (
    <div class="preview-part" role="region" aria-label={texts.sampling.would_keep}>
      <h3>{texts.sampling.would_keep}</h3>
      <p class="banner" role="status">{texts.sampling.nothing_is_changed}</p>
      <Preview judged={props.judged} />
    </div>
  );
}

/** What rules would keep of what is stored. */
function Preview(props: { judged: Judged }) {
  const { searches, left_out } = props.judged;
  const { total, by_rule, by_service, from, to, days, kept_bytes_per_day } = props.judged.answer;
  const rules = by_rule.filter((row) => row.rule !== null || row.traces > 0);
  const services = by_service.slice(0, kServicesShown);
  const slots = assign_slots(services.map((one) => one.service));
  if (total.traces === 0) return <p class="muted">{texts.sampling.no_undecided}</p>;
  const of = (kept: number, all: number, text = count): string => `${texts.sampling.of_them(text(kept), text(all))} (${percent(kept, all)})`;
  return (
    <>
      <p class="muted">{texts.sampling.judged(texts.counts.traces(total.traces), at(from), at(to))}</p>
      <dl class="pairs">
        <div><dt>{texts.sampling.traces}</dt><dd>{of(total.kept.traces, total.traces)}</dd></div>
        <div><dt>{texts.sampling.bytes}</dt><dd>{of(total.kept.bytes, total.bytes, bytes)}</dd></div>
        <div><dt>{texts.sampling.with_errors}</dt><dd>{of(total.kept.error_traces, total.error_traces)}</dd></div>
        <div><dt>{texts.sampling.lasts}</dt><dd>{days === null ? texts.sampling.not_known : texts.sampling.days(count(Math.floor(days)))} · {texts.sampling.a_day(bytes(kept_bytes_per_day))}</dd></div>
      </dl>
      <Rows title={texts.sampling.by_rule} first={texts.sampling.rule} rows={rules.map((row) => ({ ...row, key: row.rule ?? '', name: row.rule ?? <span class="muted">{texts.sampling.no_rule_matches}</span> }))} />
      <Rows title={texts.sampling.by_service} first={texts.sampling.service} rows={services.map((row, i) => ({ ...row, key: row.service, name: row.service ? <Service name={row.service} slot={slots[i]} /> : texts.sampling.root_not_received }))} />
      {by_service.length > services.length && <p class="muted">{texts.sampling.more_services(by_service.length - services.length)}</p>}
      <Searches searches={searches} left_out={left_out} />
    </>
  );
}

/** What people look for again and again, and would not find any more. */
function Searches(props: { searches: Judged['searches']; left_out: readonly string[] }) {
  const { searches, left_out } = props;
  if (searches.length + left_out.length === 0) return null;
  const lost = searches.filter(({ count: one }) => one.traces > 0 && one.kept.traces === 0).length;
  const some = searches.filter(({ count: one }) => one.kept.traces < one.traces).length;
  const name = ({ search }: Judged['searches'][number]): ComponentChildren => <a href={page_link('/search', { q: search.q })} title={search.q}>{search.name}</a>;
  return (
    <>
      {searches.length > 0 && <p class={lost > 0 ? 'warn-text' : 'muted'}>{lost > 0 ? texts.sampling.searches_find_nothing(lost) : some > 0 ? texts.sampling.searches_find_less(some) : texts.sampling.searches_find_all}</p>}
      {searches.length > 0 && <Rows title={texts.sampling.by_search} first={texts.sampling.search} rows={searches.map((one) => ({ ...one.count, key: one.search.name, name: name(one) }))} />}
      {left_out.length > 0 && <p class="muted">{texts.sampling.searches_left_out(left_out.join(', '))}</p>}
    </>
  );
}

type Row = PreviewCount & { key: string; name: ComponentChildren };

/** The whole bar is what there is, beside the largest; its full part is what stays. */
function Rows(props: { title: string; first: string; rows: Row[] }) {
  const most = Math.max(1, ...props.rows.map((row) => row.bytes));
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={props.title}>
      <table class="sums preview">
        <caption>{props.title}</caption>
        <thead>
          <tr>
            <th scope="col">{props.first}</th><th scope="col">{texts.sampling.traces}</th><th scope="col">{texts.sampling.stay}</th>
            <th scope="col">{texts.sampling.bytes}</th><th scope="col">{texts.sampling.bytes_stay}</th><th scope="col">{texts.sampling.share}</th>
            <th scope="col" class="bar-cell"><span class="visually-hidden">{texts.sampling.bytes_stay}</span></th>
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={row.key}>
              <th scope="row">{row.name}</th>
              <td>{count(row.traces)}</td><td>{count(row.kept.traces)}</td><td>{bytes(row.bytes)}</td><td>{bytes(row.kept.bytes)}</td><td>{percent(row.kept.bytes, row.bytes)}</td>
              <td class="bar-cell"><span class="keep-bar" aria-hidden="true" style={{ '--all': String(row.bytes / most), '--kept': String(row.kept.bytes / most) }} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
