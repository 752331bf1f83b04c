import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { type ApiError, as_api_error } from '../../api/client.ts';
import { fetch_rules, reset_rules, type RulesInForce } from '../../api/keep.ts';
import { duration_for_people } from '../../model/format.ts';
import { size_text } from '../../model/keep_rules.ts';
import { use_answer } from '../../state/answer.ts';
import { announce } from '../../state/app.ts';
import { type Judged, judge } from '../../state/judged.ts';
import { go, here_with, place, replace } from '../../state/router.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';
import { type EditAs, Editor } from './editor.tsx';
import { Failed, type Only, PreviewPart, range_of } from './preview.tsx';
import { RuleTable } from './rule_table.tsx';
import { source_text } from './source.ts';

/** What the configuration says of retention; '' where it says nothing. */
export interface Retention {
  for: string;
  disk_used_max: number;
}

/** The rules in force; what they would keep; and their change. Whether they are being changed is in the address. */
export function Rules(props: { retention: Retention | null }) {
  const changed = useSignal<RulesInForce | null>(null);
  const answer = use_answer('rules', (signal) => fetch_rules(signal));
  const in_force = changed.value ?? answer.value;
  const newer = useSignal<RulesInForce | null>(null); // saved by someone else while these are edited
  const edit_param = place.value.params.get('edit');
  const edit: EditAs | null = edit_param === 'form' || edit_param === 'text' ? edit_param : null;
  const show = (as: EditAs | null, way: (url: string) => void): void => way(here_with('edit', as));
  if (answer.error && !in_force) return <Failure error={answer.error} retry={answer.retry} />;
  if (!in_force) return <Loading what={texts.sampling.asking_for_the_rules} />;
  return (
    <>
      <InForce in_force={newer.value ?? in_force} retention={props.retention} changed={(next) => (changed.value = next)} edit={edit ? null : () => show('form', go)} />
      {edit && (
        <Editor
          key={`${in_force.source} ${in_force.version}`} in_force={in_force} as={edit} show_as={(as) => show(as, replace)}
          found={(next) => (newer.value = next)}
          done={(next) => {
            changed.value = next ?? newer.value ?? changed.value;
            newer.value = null;
            show(null, replace);
            document.getElementById('main')?.focus();
          }}
        />
      )}
    </>
  );
}

function InForce(props: { in_force: RulesInForce; retention: Retention | null; changed: (next: RulesInForce) => void; edit: (() => void) | null }) {
  const { in_force, retention } = props;
  const { recent, keep } = in_force.rules;
  const asks = useSignal(false);
  const note = useSignal('');
  const error = useSignal<ApiError | null>(null);
  const preview = useSignal<Judged | null>(null);
  const judging = useSignal(false);
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  useEffect(() => {
    preview.value = null;
  }, [in_force, props.edit === null]);
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    error.value = null;
    note.value = '';
    await work().catch((failure: unknown) => {
      if (!stop.current.signal.aborted) error.value = as_api_error(failure);
    });
  };
  const give_up = (): Promise<void> => attempt(async () => {
    asks.value = false;
    const next = await reset_rules(in_force.version);
    if (next) announce(texts.sampling.rules_given_up);
    else note.value = texts.sampling.are_other_by_now;
    props.changed(next ?? (await fetch_rules()));
  });
  const try_rules = (only: Only = 'all'): Promise<void> => attempt(async () => {
    judging.value = true;
    try {
      preview.value = await judge(in_force.rules, stop.current.signal, range_of(only));
    } finally {
      judging.value = false;
    }
  });
  return (
    <section class="card prose" aria-labelledby="rules-title">
      <div class="page-head">
        <h2 id="rules-title">{texts.sampling.rules_in_force} <span class="badge">{source_text(in_force)}</span></h2>
        {props.edit && <button type="button" onClick={props.edit} aria-label={texts.sampling.edit_rules}>{texts.sampling.edit}</button>}
        {props.edit && <button type="button" disabled={judging.value} onClick={() => void try_rules()}>{texts.sampling.try_them}</button>}
        {props.edit && in_force.source === 'api' && <button type="button" aria-expanded={asks.value} onClick={() => (asks.value = !asks.value)}>{texts.sampling.give_up}</button>}
      </div>
      {asks.value && (
        <p class="note" role="alert">
          {texts.sampling.give_up_question}{' '}
          <button type="button" onClick={() => void give_up()}>{texts.sampling.give_up_yes}</button>{' '}
          <button type="button" onClick={() => (asks.value = false)}>{texts.sampling.keep_them}</button>
        </p>
      )}
      {note.value && <p class="note" role="status">{note.value}</p>}
      {error.value && <Failed error={error.value} try_less={() => void try_rules('chosen')} />}
      <p class="muted">{texts.sampling.what_it_is}</p>
      <RuleTable rules={keep} label={texts.sampling.rules_in_force} />
      <ul class="plain">
        <li>{recent.for ? texts.sampling.recent_for(duration_for_people(recent.for)) : texts.sampling.recent_until_full}{recent.disk === undefined ? '' : texts.sampling.recent_disk(size_text(recent.disk))}.</li>
        {retention && <li>{retention.for ? texts.sampling.kept_for(duration_for_people(retention.for)) : texts.sampling.kept_until_full}</li>}
        {retention && retention.disk_used_max > 0 && <li>{texts.sampling.disk_full(Math.round(100 * retention.disk_used_max))}</li>}
      </ul>
      {judging.value && <Loading what={texts.sampling.judging} />}
      {preview.value && <PreviewPart judged={preview.value} />}
    </section>
  );
}
