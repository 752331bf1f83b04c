import type { Decision, Forwarded, WhyAnswer } from '../api/keep.ts';
import { decision_of, is_kept, one_in_text, sent_on, told } from '../model/decision.ts';
import { bytes, count, day_and_clock, duration } from '../model/format.ts';
import { rule_line } from '../model/keep_rules.ts';
import { now_ns } from '../state/app.ts';
import * as texts from '../texts/texts.ts';

const kNone = 'none';

/** Why a trace was kept or dropped: a sentence, and the facts of the decision. */
export function Why(props: { answer: WhyAnswer }) {
  const { answer } = props;
  const [first, ...more] = told(answer, Number(now_ns() / 1000000n));
  const decision = decision_of(answer);
  return (
    <div class="why">
      <p class="why-told"><strong>{first}</strong>{more.map((text) => ` ${text}`)}</p>
      <dl class="pairs">
        {decision && <Facts decision={decision} />}
        <div><dt>{texts.sampling.stored_now}</dt><dd>{count(answer.stored_spans)}</dd></div>
        {answer.forwarded.length > 0 && <div class="wide"><dt>{texts.sampling.sent_on}</dt><dd><SentOn forwarded={answer.forwarded} /></dd></div>}
      </dl>
    </div>
  );
}

function SentOn(props: { forwarded: Forwarded[] }) {
  const now_ms = Number(now_ns() / 1000000n);
  return <ul class="plain">{props.forwarded.map((one, number) => <li key={number}><code class="wrap">{one.target}</code> {sent_on(one, now_ms)}</li>)}</ul>;
}

function Facts(props: { decision: Decision }) {
  const { decision } = props;
  const { one_in, threshold } = decision;
  const source = decision.rules_source === 'api' ? texts.sampling.version(decision.rules_version) : texts.sampling.of_rules_then[decision.rules_source];
  return (
    <>
      <div class="wide"><dt>{texts.sampling.decided_by}</dt><dd>{decision.rule_text ? <code class="wrap">{rule_line(decision.rule_text)}</code> : decision.rule ?? texts.sampling.no_rule_matches}</dd></div>
      <div><dt>{texts.sampling.rules_word}</dt><dd>{source}</dd></div>
      <div><dt>{texts.sampling.when}</dt><dd>{day_and_clock(Number(BigInt(decision.at) / 1000000n))}</dd></div>
      <div>
        <dt>{texts.sampling.threshold}</dt>
        <dd>{threshold === kNone ? texts.sampling.threshold_none : <><code>{threshold}</code>{/^0+$/.test(threshold) ? ` (${texts.sampling.threshold_all})` : ''}</>}</dd>
      </div>
      {one_in !== null && is_kept(decision) && <div><dt>{texts.sampling.stands_for}</dt><dd>{one_in > 1 ? texts.sampling.stands_for_traces(one_in_text(one_in)) : texts.sampling.for_itself}</dd></div>}
      <div><dt>{texts.sampling.spans}</dt><dd>{count(decision.spans)}</dd></div>
      <div><dt>{texts.sampling.bytes}</dt><dd>{texts.sampling.about(bytes(decision.bytes))}</dd></div>
      <div><dt>{texts.sampling.duration}</dt><dd>{texts.sampling.about(duration(Number(decision.duration_ns)))}</dd></div>
      <div><dt>{texts.sampling.error}</dt><dd>{decision.error ? texts.sampling.yes : texts.sampling.no}</dd></div>
    </>
  );
}
