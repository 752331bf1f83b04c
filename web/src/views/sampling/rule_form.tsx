import { useEffect, useRef } from 'preact/hooks';
import { empty_rule, type How, kHows, moved, type Problem, type RuleForm, type RulesForm } from '../../model/keep_rules.ts';
import { Icon, kIcons } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

/** Rules as fields, in the order in which they are asked. What is wrong is said at its field. */
export function Form(props: { form: RulesForm; change: (form: RulesForm) => void; problem: Problem | null }) {
  const { form, change, problem } = props;
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (problem) box.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus();
  }, [problem]);
  const about = (...path: (string | number)[]): Problem | null => (problem && path.every((step, i) => problem.path[i] === step) && problem.path.length === path.length ? problem : null);
  const set = (i: number, more: Partial<RuleForm>): void => change({ ...form, rules: form.rules.map((rule, k) => (k === i ? { ...rule, ...more } : rule)) });
  const with_rules = (rules: RuleForm[]): void => change({ ...form, rules });
  return (
    <div class="rules-form" ref={box}>
      <div class="rule-fields">
        <Field label={texts.sampling.recent_for_field} value={form.recent_for} problem={about('recent', 'for')} place="recent-for" empty={texts.sampling.until_no_room} change={(value) => change({ ...form, recent_for: value })} />
        <Field label={texts.sampling.recent_disk_field} value={form.recent_disk} problem={about('recent', 'disk')} place="recent-disk" empty={texts.sampling.no_limit} change={(value) => change({ ...form, recent_disk: value })} />
      </div>
      {form.rules.map((rule, i) => (
        <fieldset key={rule.id}>
          <legend>{texts.sampling.rule_number(i + 1)}</legend>
          <Rule rule={rule} about={(key) => about('keep', i, key)} change={(more) => set(i, more)} />
          <span class="rule-buttons">
            <button type="button" class="quiet" disabled={i === 0} aria-label={texts.sampling.move_up(rule.name || texts.sampling.this_rule)} onClick={() => with_rules(moved(form.rules, i, -1))}><Icon d={kIcons.up} /></button>
            <button type="button" class="quiet" disabled={i + 1 === form.rules.length} aria-label={texts.sampling.move_down(rule.name || texts.sampling.this_rule)} onClick={() => with_rules(moved(form.rules, i, 1))}><Icon d={kIcons.down} /></button>
            <button type="button" class="quiet" aria-label={texts.sampling.remove_rule(rule.name || texts.sampling.this_rule)} onClick={() => with_rules(form.rules.filter((one) => one !== rule))}><Icon d={kIcons.close} /></button>
          </span>
          {about('keep', i) && <p class="error-text" role="alert">{problem?.message}</p>}
        </fieldset>
      ))}
      <p><button type="button" onClick={() => with_rules([...form.rules, empty_rule()])}><Icon d={kIcons.plus} size={14} /> {texts.sampling.add_rule}</button></p>
    </div>
  );
}

function Rule(props: { rule: RuleForm; about: (key: string) => Problem | null; change: (more: Partial<RuleForm>) => void }) {
  const { rule, about, change } = props;
  const place = `rule-${rule.id}`;
  return (
    <div class="rule-fields">
      <Field label={texts.sampling.name} value={rule.name} problem={about('name')} place={`${place}-name`} change={(name) => change({ name })} />
      <Field label={texts.sampling.match} value={rule.match} problem={about('match')} place={`${place}-match`} empty={texts.sampling.every_trace} mono change={(match) => change({ match })} />
      <Field label={texts.sampling.slowest} value={rule.slowest} problem={about('slowest')} place={`${place}-slowest`} change={(slowest) => change({ slowest })} />
      <label>
        <span>{texts.sampling.keep}</span>
        <select value={rule.how} onChange={(e) => change({ how: e.currentTarget.value as How })}>
          {kHows.map((how) => <option key={how} value={how}>{texts.sampling.how[how]}</option>)}
        </select>
      </label>
      {rule.how !== 'all' && <Field label={texts.sampling.amount} value={rule.amount} problem={about(rule.how)} place={`${place}-amount`} short change={(amount) => change({ amount })} />}
      <Field label={texts.sampling.by} value={rule.by} problem={about('by')} place={`${place}-by`} mono change={(by) => change({ by })} />
      <Field label={texts.sampling.for_field} value={rule.for} problem={about('for')} place={`${place}-for`} empty={texts.sampling.retention} short change={(value) => change({ for: value })} />
      <Field label={texts.sampling.max_bytes} value={rule.max_bytes} problem={about('max_bytes')} place={`${place}-bytes`} empty={texts.sampling.no_limit} short change={(max_bytes) => change({ max_bytes })} />
    </div>
  );
}

function Field(props: { label: string; value: string; problem: Problem | null; place: string; empty?: string; mono?: boolean; short?: boolean; change: (value: string) => void }) {
  const { problem, place, mono, short } = props;
  return (
    <label class={mono ? 'grow' : short ? 'short' : ''}>
      <span>{props.label}</span>
      <input
        type="text" class={mono ? 'mono' : ''} value={props.value} placeholder={props.empty} spellcheck={false} autocomplete="off"
        aria-invalid={problem !== null} aria-describedby={problem ? `${place}-problem` : undefined} onInput={(e) => props.change(e.currentTarget.value)}
      />
      {problem && (
        <span class="field-problem error-text" id={`${place}-problem`}>
          {problem.column >= 0 && <code class="caret-lines" aria-hidden="true">{`${props.value.trim()}\n${' '.repeat(problem.column)}^`}</code>}
          {problem.message}
        </span>
      )}
    </label>
  );
}
