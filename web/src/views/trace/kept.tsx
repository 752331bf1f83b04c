import { useEffect } from 'preact/hooks';
import { decision_of, is_gone } from '../../model/decision.ts';
import { page_link } from '../../state/app.ts';
import { is_pinned, pin_error } from '../../state/pins.ts';
import { here_with, place, replace } from '../../state/router.ts';
import { load_why, why } from '../../state/why.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Why } from '../../widgets/why.tsx';
import * as texts from '../../texts/texts.ts';

const is_open = (): boolean => place.value.params.has('why');
const of = (id: string): typeof why.value | null => (why.value.trace === id ? why.value : null);

/** Asks, and again where the trace or what else is named has changed. */
function use_why(id: string, ...also: unknown[]): void {
  useEffect(() => {
    const stop = new AbortController();
    void load_why(id, stop.signal);
    return () => stop.abort();
  }, [id, ...also]);
}

export function turn_why(): void {
  replace(here_with('why', is_open() ? null : '1'));
}

/** Why this trace is still here, in two or three words; opens the panel that says it whole. */
export function KeptFact(props: { id: string }) {
  const { id } = props;
  const pinned = is_pinned(id);
  use_why(id, pinned);
  return (
    <button type="button" class="link kept-fact" aria-expanded={is_open()} aria-controls="why-panel" title={texts.trace.why_this_trace_is_kept_and} onClick={turn_why}>
      {in_short(id, pinned)}
    </button>
  );
}

function in_short(id: string, pinned: boolean): string {
  const answer = of(id)?.answer;
  if (pinned || answer?.pinned) return texts.trace.kept_for_ever;
  if (!answer) return texts.trace.why_kept;
  if (answer.state === 'dropped') return texts.trace.dropped_these_came_late;
  const rule = decision_of(answer)?.rule;
  if (rule) return texts.trace.kept_by(rule);
  return answer.state === 'recent' ? texts.trace.recent_not_decided : texts.trace.kept;
}

export function KeptPanel(props: { id: string }) {
  const found = of(props.id);
  const problem = pin_error.value;
  return (
    <>
      {problem && (
        <div class="pin-problem">
          <Failure error={problem} title={texts.trace.the_pin_could_not_be_changed} />
        </div>
      )}
      {is_open() && (
        <section class="card why-panel" id="why-panel" aria-label={texts.trace.why_kept}>
          {found?.error && <Failure error={found.error} retry={() => void load_why(props.id)} />}
          {found?.answer ? <Why answer={found.answer} /> : !found?.error && <Loading what={texts.sampling.looking_it_up} />}
          <p><a href={page_link('/sampling')}>{texts.trace.the_rules}</a></p>
        </section>
      )}
    </>
  );
}

/** What became of a trace that is not here; or what else may be the reason. */
export function Missing(props: { id: string }) {
  const { id } = props;
  use_why(id);
  const found = of(id);
  const answer = found?.answer;
  if (!found || (!answer && !found.error)) return <Loading what={texts.sampling.looking_it_up} />;
  if (answer && is_gone(answer)) {
    return (
      <section class="card why-panel" aria-label={texts.trace.what_became_of_it}>
        <Why answer={answer} />
        <p><a href={page_link('/sampling')}>{texts.trace.the_rules}</a></p>
      </section>
    );
  }
  return (
    <ul class="plain">
      <li>{texts.trace.it_may_still_be_on_its}</li>
      {answer && <li>{answer.known_since === null ? texts.trace.no_rule_dropped_it : texts.trace.no_rule_dropped_it_as_known}</li>}
      <li>{texts.trace.it_may_be_older_than_what}</li>
      <li>
        {texts.trace.the_id_may_be_from_another} <a href={page_link('/search')}>{texts.trace.search_for_it_instead}</a>.
      </li>
    </ul>
  );
}

/** Whether the decisions say why a trace is not here. */
export function is_explained(id: string): boolean {
  const answer = of(id)?.answer;
  return answer ? is_gone(answer) : false;
}

/** The heading of a page whose trace is not here. */
export function missing_title(id: string): string {
  const answer = of(id)?.answer;
  if (!is_explained(id)) return texts.trace.this_trace_is_not_here;
  return answer?.state === 'dropped' ? texts.trace.this_trace_was_dropped : texts.trace.this_trace_is_gone;
}
