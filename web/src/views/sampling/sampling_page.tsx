import { useEffect } from 'preact/hooks';
import { fetch_sampling, fetch_settings } from '../../api/client.ts';
import { assign_slots } from '../../model/colors.ts';
import { count, count_short } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, range } from '../../state/app.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';

/** What is kept and why: what the server drops, how long it keeps, and what the senders had dropped before. */
export function SamplingPage() {
  useEffect(() => {
    document.title = 'Sampling · spanloom';
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, async (signal) => {
    const { from, to } = resolve_range(range.peek(), now_ns());
    const [sampling, settings] = await Promise.all([fetch_sampling(from, to, signal), fetch_settings(signal)]);
    return { sampling, settings };
  });
  const found = answer.value;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>Sampling</h1>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what="Counting" />}
      {found && (
        <div class={answer.loading ? 'stale' : ''}>
          <Kept value={(key) => found.settings.settings.find((one) => one.key === key)?.value ?? ''} />
          <Senders services={found.sampling.services} partial={found.sampling.partial ? found.sampling.reason : ''} />
        </div>
      )}
    </main>
  );
}

function Kept(props: { value: (key: string) => string }) {
  const { value } = props;
  const time = value('retention.for');
  const size = value('retention.bytes');
  const full = Number(value('retention.disk_used_max'));
  const set = (text: string): boolean => text !== '' && text !== '0';
  return (
    <section class="card prose" aria-labelledby="kept-title">
      <h2 id="kept-title">Why is a trace kept?</h2>
      <p>
        <strong>Because everything is.</strong> Every span that this server accepts is stored and can be searched. No rule here drops single traces, so there are no decisions to show: a trace that
        you do not find was not sent, was dropped by the program that made it, or is older than what is kept.
      </p>
      <h3>How long?</h3>
      <ul class="plain">
        {set(time) && <li>For <strong>{time}</strong> after its spans arrived.</li>}
        {set(size) && <li>At most <strong>{size}</strong> in all: beyond that the oldest hour goes.</li>}
        {full > 0 && <li>Until the disk is <strong>{Math.round(100 * full)} %</strong> full: then the oldest hour goes, as a whole.</li>}
        {!set(time) && !set(size) && <li>Nothing is removed for its age alone.</li>}
      </ul>
      <p class="muted">Set by <code>retention.*</code>; <a href="/settings">Settings</a> has what is in force.</p>
    </section>
  );
}

function Senders(props: { services: { name: string; spans: number; weighted: number }[]; partial: string }) {
  const sampled = props.services.filter((one) => one.weighted > one.spans * 1.0001).sort((a, b) => b.weighted / b.spans - a.weighted / a.spans);
  const slots = assign_slots(sampled.map((one) => one.name));
  return (
    <section class="card" aria-labelledby="senders-title">
      <h2 id="senders-title">What the senders dropped before</h2>
      {props.partial && <p class="note">Not everything was counted: {props.partial}</p>}
      {sampled.length === 0 && (
        <p class="muted">
          {props.services.length === 0 ? 'No span came in this time range.' : `None of ${count(props.services.length)} services says that it sampled: each span stands for itself.`} Samplers say so in the
          trace state (<code>ot=th</code>); those that do not are counted as they come.
        </p>
      )}
      {sampled.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Services that sampled"><table class="sums">
          <thead><tr><th scope="col">Service</th><th scope="col">Sampled</th><th scope="col">Spans received</th><th scope="col">Stand for</th></tr></thead>
          <tbody>
            {sampled.map((one, i) => (
              <tr key={one.name}>
                <th scope="row"><Service name={one.name} slot={slots[i]} /></th>
                <td>1 in {(one.weighted / one.spans).toFixed(one.weighted / one.spans < 10 ? 1 : 0)}</td>
                <td>{count(one.spans)}</td>
                <td>~{count_short(Math.round(one.weighted))}</td>
              </tr>
            ))}
          </tbody>
        </table></div>
      )}
    </section>
  );
}
