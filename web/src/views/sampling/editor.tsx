import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { type ApiError, as_api_error } from '../../api/client.ts';
import { fetch_rules, type RulesInForce, save_rules } from '../../api/keep.ts';
import { broken_at, form_of, place_in, type Problem, problem_of, rules_of, text_of } from '../../model/keep_rules.ts';
import { announce } from '../../state/app.ts';
import { type Judged, judge } from '../../state/judged.ts';
import { Loading } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';
import { Failed, type Only, PreviewPart, range_of } from './preview.tsx';
import { Form } from './rule_form.tsx';
import { RuleTable } from './rule_table.tsx';
import { source_text } from './source.ts';

export type EditAs = 'form' | 'text';

/** Changes the rules: what is written here is of this page alone until it is saved. */
export function Editor(props: { in_force: RulesInForce; as: EditAs; show_as: (as: EditAs) => void; found: (theirs: RulesInForce) => void; done: (in_force: RulesInForce | null) => void }) {
  const { in_force, as } = props;
  const form = useSignal(form_of(in_force.rules));
  const text = useSignal(text_of(in_force.rules));
  const problem = useSignal<Problem | null>(null);
  const error = useSignal<ApiError | null>(null);
  const preview = useSignal<Judged | null>(null);
  const theirs = useSignal<RulesInForce | null>(null);
  const busy = useSignal(''); // with what
  const asking = useRef<AbortController | null>(null);
  useEffect(() => () => asking.current?.abort(), []);
  const shows_form = as === 'form' && form.value !== null;

  const edited = (): void => {
    asking.current?.abort();
    problem.value = null;
    error.value = null;
    preview.value = null; // it was of other rules
  };
  /** What is written, or null where it is no JSON: then `problem` says so. */
  const draft = (): unknown => {
    if (shows_form && form.value) return rules_of(form.value);
    if (broken_at(text.value)) {
      problem.value = { path: [], message: texts.sampling.not_json, column: -1 };
      return null;
    }
    return JSON.parse(text.value);
  };
  const turn = (to: EditAs): void => {
    if (to === as) return;
    const rules = draft();
    if (rules === null) return;
    edited();
    if (to === 'text') text.value = text_of(rules_of(form.value!));
    else if (!(form.value = form_of(rules))) {
      problem.value = { path: [], message: texts.sampling.no_fields, column: -1 };
      return;
    }
    props.show_as(to);
  };
  const ask = async (what: string, work: (rules: unknown, signal: AbortSignal) => Promise<void>): Promise<void> => {
    const rules = draft();
    if (rules === null) return;
    edited();
    const stop = new AbortController();
    asking.current = stop;
    busy.value = what;
    try {
      await work(rules, stop.signal);
    } catch (failure) {
      if (stop.signal.aborted) return;
      const said = as_api_error(failure);
      if (said.status === 400) problem.value = problem_of(said.message, rules);
      else error.value = said;
    } finally {
      if (asking.current === stop) busy.value = '';
    }
  };
  const try_rules = (only: Only = 'all'): Promise<void> => ask(texts.sampling.judging, async (rules, signal) => {
    const found = await judge(rules, signal, range_of(only));
    if (!signal.aborted) preview.value = found;
  });
  const save = (version: number): Promise<void> => ask(texts.sampling.saving, async (rules) => {
    const saved = await save_rules(rules, version);
    if (!saved) {
      theirs.value = await fetch_rules();
      props.found(theirs.value);
      return;
    }
    announce(texts.sampling.rules_saved(saved.version));
    props.done(saved);
  });
  return (
    <section class="card prose editor" aria-labelledby="editor-title">
      <div class="page-head">
        <h2 id="editor-title">{texts.sampling.editing}</h2>
        <span class="segmented" role="group" aria-label={texts.sampling.rules_as}>
          <button type="button" aria-pressed={shows_form} onClick={() => turn('form')}>{texts.sampling.form}</button>
          <button type="button" aria-pressed={!shows_form} onClick={() => turn('text')}>{texts.sampling.text}</button>
        </span>
      </div>
      {shows_form && form.value
        ? <Form form={form.value} problem={problem.value} change={(next) => { edited(); form.value = next; }} />
        : <AsText text={text.value} problem={problem.value} change={(next) => { edited(); text.value = next; }} />}
      {shows_form && problem.value && problem.value.path.length < 2 && <p class="failure" role="alert">{problem.value.message}</p>}
      {error.value && <Failed error={error.value} try_less={() => void try_rules('chosen')} />}
      {theirs.value && <Conflict theirs={theirs.value} replace={() => void save(theirs.value?.version ?? 0)} take={() => props.done(theirs.value)} />}
      <p class="edit-buttons">
        <button type="button" disabled={busy.value !== ''} onClick={() => void try_rules()}>{texts.sampling.preview}</button>
        <button type="button" class="primary" disabled={busy.value !== '' || theirs.value !== null} onClick={() => void save(in_force.version)}>{texts.sampling.save}</button>
        <button type="button" onClick={() => props.done(null)}>{texts.sampling.cancel}</button>
      </p>
      {busy.value && <Loading what={busy.value} />}
      {preview.value && <PreviewPart judged={preview.value} />}
    </section>
  );
}

function AsText(props: { text: string; problem: Problem | null; change: (text: string) => void }) {
  const { text, problem } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const place = problem && (broken_at(text) ?? (problem.path.length > 0 ? place_in(text, problem.path) : null));
  useEffect(() => {
    if (!problem || !field.current) return;
    const lines = text.split('\n');
    const start = place ? lines.slice(0, place.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + place.column - 1 : 0;
    field.current.focus();
    field.current.setSelectionRange(start, start);
  }, [problem]);
  return (
    <div class="rules-text">
      <textarea
        ref={field} class="mono" rows={Math.min(30, text.split('\n').length + 1)} value={text} spellcheck={false} aria-label={texts.sampling.rules_as_text} wrap="off"
        aria-invalid={problem !== null} aria-describedby="rules-text-problem" onInput={(e) => props.change(e.currentTarget.value)}
      />
      <p class="muted small">{texts.sampling.text_hint}</p>
      <p id="rules-text-problem" class="error-text" role="alert">{problem && (place ? texts.sampling.at_place(place.line, place.column, problem.message) : problem.message)}</p>
    </div>
  );
}

function Conflict(props: { theirs: RulesInForce; replace: () => void; take: () => void }) {
  const { theirs } = props;
  return (
    <div class="failure conflict" role="alert">
      <p><strong>{texts.sampling.saved_meanwhile}</strong> ({source_text(theirs)}). {texts.sampling.what_now}</p>
      <RuleTable rules={theirs.rules.keep} label={texts.sampling.saved_meanwhile} />
      <p class="failure-foot">
        <button type="button" onClick={props.replace}>{texts.sampling.replace_theirs}</button>
        <button type="button" onClick={props.take}>{texts.sampling.take_theirs}</button>
      </p>
    </div>
  );
}
