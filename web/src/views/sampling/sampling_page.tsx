import { useEffect } from 'preact/hooks';
import { fetch_sampling, fetch_settings } from '../../api/client.ts';
import { assign_slots } from '../../model/colors.ts';
import { count, count_short } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, range } from '../../state/app.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

/** What is kept and why: what the server drops, how long it keeps, and what the senders had dropped before. */
export function SamplingPage() {
  useEffect(() => {
    document.title = texts.sampling.sampling_spanloom;
  }, []);
  const answer = use_answer(`${range.value.from} ${range.value.to}`, async (signal) => {
    const { from, to } = resolve_range(range.peek(), now_ns());
    const [sampling, settings] = await Promise.all([fetch_sampling(from, to, signal), fetch_settings(signal)]);
    return { sampling, settings };
  });
  const found = answer.value;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.sampling.sampling}</h1>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!found && answer.loading && <Loading what={texts.sampling.counting} />}
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
      <h2 id="kept-title">{texts.sampling.why_is_a_trace_kept}</h2>
      <p>
        <strong>{texts.sampling.because_everything_is}</strong> {texts.sampling.every_span_that_this_server_accepts}
      </p>
      <h3>{texts.sampling.how_long}</h3>
      <ul class="plain">
        {set(time) && <li>{texts.sampling.for_word} <strong>{time}</strong> {texts.sampling.after_its_spans_arrived}</li>}
        {set(size) && <li>{texts.sampling.at_most} <strong>{size}</strong> {texts.sampling.in_all_beyond_that_the_oldest}</li>}
        {full > 0 && <li>{texts.sampling.until_the_disk_is} <strong>{Math.round(100 * full)} %</strong> {texts.sampling.full_then_the_oldest_hour_goes}</li>}
        {!set(time) && !set(size) && <li>{texts.sampling.nothing_is_removed_for_its_age}</li>}
      </ul>
      <p class="muted">{texts.sampling.set_by} <code>retention.*</code>; <a href="/settings">{texts.sampling.settings}</a> {texts.sampling.has_what_is_in_force}</p>
    </section>
  );
}

function Senders(props: { services: { name: string; spans: number; weighted: number }[]; partial: string }) {
  const sampled = props.services.filter((one) => one.weighted > one.spans * 1.0001).sort((a, b) => b.weighted / b.spans - a.weighted / a.spans);
  const slots = assign_slots(sampled.map((one) => one.name));
  return (
    <section class="card" aria-labelledby="senders-title">
      <h2 id="senders-title">{texts.sampling.what_the_senders_dropped_before}</h2>
      {props.partial && <p class="note">{texts.sampling.not_everything_was_counted(props.partial)}</p>}
      {sampled.length === 0 && (
        <p class="muted">
          {props.services.length === 0 ? texts.sampling.no_span_came_in_this_time : texts.sampling.none_of_services_says_that_it(count(props.services.length))} {texts.sampling.samplers_say_so_in_the_trace}<code>ot=th</code>{texts.sampling.those_that_do_not_are_counted}
        </p>
      )}
      {sampled.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={texts.sampling.services_that_sampled}><table class="sums">
          <thead><tr><th scope="col">{texts.sampling.service}</th><th scope="col">{texts.sampling.sampled}</th><th scope="col">{texts.sampling.spans_received}</th><th scope="col">{texts.sampling.stand_for}</th></tr></thead>
          <tbody>
            {sampled.map((one, i) => (
              <tr key={one.name}>
                <th scope="row"><Service name={one.name} slot={slots[i]} /></th>
                <td>{texts.sampling.one_in((one.weighted / one.spans).toFixed(one.weighted / one.spans < 10 ? 1 : 0))}</td>
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
