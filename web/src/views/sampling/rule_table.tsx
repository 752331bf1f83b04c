import type { KeepRule } from '../../model/keep_rules.ts';
import { size_text } from '../../model/keep_rules.ts';
import { count, duration_for_people, percent } from '../../model/format.ts';
import * as texts from '../../texts/texts.ts';

const keys_text = (rule: KeepRule): string => (rule.by ?? []).join(texts.sampling.and_word);

function which(rule: KeepRule): string {
  if (rule.slowest === undefined) return '';
  return texts.sampling.slowest_by(percent(Number(rule.slowest), 1), keys_text(rule));
}

function how_many(rule: KeepRule): string {
  const keys = keys_text(rule);
  if (rule.per_second !== undefined) return texts.sampling.per_second(count(rule.per_second)) + (keys ? texts.sampling.shared_out_by(keys) : '');
  if (rule.per_key !== undefined) return texts.sampling.for_each(count(rule.per_key), keys);
  if (rule.rate === 0) return texts.sampling.none_of_them;
  return rule.rate === undefined || rule.rate === 1 ? texts.sampling.all_of_them : texts.sampling.share_of_them(percent(rule.rate, 1));
}

/** Rules in the order in which they are asked. */
export function RuleTable(props: { rules: readonly KeepRule[]; label: string }) {
  if (props.rules.length === 0) return <p class="note">{texts.sampling.no_rules}</p>;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table class="sums rules">
        <thead>
          <tr>
            <th scope="col">{texts.sampling.rule}</th><th scope="col" class="text">{texts.sampling.which_traces}</th>
            <th scope="col" class="text">{texts.sampling.how_many_stay}</th><th scope="col" class="text">{texts.sampling.for_how_long}</th>
          </tr>
        </thead>
        <tbody>
          {props.rules.map((rule, i) => (
            <tr key={rule.name}>
              <th scope="row"><span class="rule-place muted">{i + 1}</span>{rule.name}</th>
              <td class="text">
                {rule.match ? <code class="wrap">{rule.match}</code> : !which(rule) && texts.sampling.every_trace}
                {rule.match && which(rule) ? ': ' : ''}{which(rule)}
              </td>
              <td class="text">{how_many(rule)}</td>
              <td class="text">{rule.for === undefined ? texts.sampling.as_retention : duration_for_people(rule.for)}{rule.max_bytes !== undefined && texts.sampling.at_most_size(size_text(rule.max_bytes))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
