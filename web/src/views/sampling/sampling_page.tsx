import { useEffect } from 'preact/hooks';
import { fetch_sampling, fetch_settings } from '../../api/client.ts';
import type { SettingsAnswer } from '../../api/types.ts';
import { assign_slots } from '../../model/colors.ts';
import { ago, count, count_short, day_and_clock, duration_for_people } from '../../model/format.ts';
import { resolve_range } from '../../model/time_range.ts';
import { use_answer } from '../../state/answer.ts';
import { now_ns, range } from '../../state/app.ts';
import { load_pins, pin_error, pins, unpin } from '../../state/pins.ts';
import { Failure, Loading, Service } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';
import { Decisions } from './decisions.tsx';
import { type Retention, Rules } from './rules.tsx';

/** Which traces stay, and why; what was pinned; and what the spans that are stored stand for. */
export function SamplingPage() {
  useEffect(() => {
    document.title = texts.sampling.sampling_spanloom;
  }, []);
  const settings = use_answer('settings', (signal) => fetch_settings(signal)).value;
  return (
    <main class="page sampling" id="main" tabIndex={-1}>
      <h1>{texts.sampling.sampling}</h1>
      <Rules retention={settings && retention_of(settings)} />
      <Decisions known_for={settings ? duration_for_people(value_of(settings, 'retention.decisions')) : ''} />
      <Pinned />
      <StandFor />
    </main>
  );
}

/** '' for what is not set, or not limited. */
function value_of(answer: SettingsAnswer, key: string): string {
  const value = answer.settings.find((one) => one.key === key)?.value ?? '';
  return /^0(\D|$)/.test(value) && Number.parseFloat(value) === 0 ? '' : value;
}

function retention_of(answer: SettingsAnswer): Retention {
  return { for: value_of(answer, 'retention.for'), disk_used_max: Number(value_of(answer, 'retention.disk_used_max')) };
}

function Pinned() {
  useEffect(() => {
    pin_error.value = null;
    void load_pins();
  }, []);
  const list = pins.value;
  const now = Number(now_ns() / 1000000n);
  const slots = assign_slots(list.map((pin) => pin.about?.service ?? ''));
  return (
    <section class="card prose" aria-labelledby="pins-title">
      <h2 id="pins-title">{texts.sampling.pinned_traces}</h2>
      <p class="muted">{list.length === 0 ? texts.sampling.none_pinned : texts.sampling.pinned_stay}</p>
      {pin_error.value && <Failure error={pin_error.value} />}
      {list.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={texts.sampling.pins}>
          <table class="sums pins">
            <thead>
              <tr>
                <th scope="col">{texts.sampling.trace}</th><th scope="col" class="text">{texts.sampling.reason}</th><th scope="col">{texts.sampling.pinned_when}</th>
                <th scope="col"><span class="visually-hidden">{texts.sampling.let_go}</span></th>
              </tr>
            </thead>
            <tbody>
              {list.map((pin, i) => (
                <tr key={pin.trace}>
                  <th scope="row">
                    <a href={`/trace/${pin.trace}`}>{pin.about ? <><Service name={pin.about.service} slot={slots[i]} /> {pin.about.name}</> : <span class="mono">{pin.trace}</span>}</a>
                  </th>
                  <td class="text">{pin.reason}{pin.by && <span class="muted"> {pin.by}</span>}</td>
                  <td title={day_and_clock(pin.at_ms)}>{ago(now - pin.at_ms)}</td>
                  <td><button type="button" class="quiet" onClick={() => void unpin(pin.trace)} aria-label={texts.sampling.let_go_of(pin.about?.name ?? pin.trace)}>{texts.sampling.let_go}</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function StandFor() {
  const answer = use_answer(`${range.value.from} ${range.value.to}`, (signal) => {
    const { from, to } = resolve_range(range.peek(), now_ns());
    return fetch_sampling(from, to, signal);
  });
  const found = answer.value;
  const services = found?.services ?? [];
  const sampled = services.filter((one) => one.weighted > one.spans * 1.0001).sort((a, b) => b.weighted / b.spans - a.weighted / a.spans);
  const slots = assign_slots(sampled.map((one) => one.name));
  return (
    <section class="card prose" aria-labelledby="stand-for-title">
      <h2 id="stand-for-title">{texts.sampling.what_spans_stand_for}</h2>
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {found?.partial && <p class="note">{texts.sampling.not_everything_was_counted(found.reason)}</p>}
      {found && sampled.length === 0 && (
        <p class="muted">{services.length === 0 ? texts.sampling.no_span_came_in_this_time : texts.sampling.every_span_stands_for_itself(texts.counts.services(services.length))}</p>
      )}
      {sampled.length > 0 && (
        <>
          <p class="muted">{texts.sampling.sampled_before_or_here}<code>ot=th</code>{texts.sampling.or_by_rules}</p>
          <div class="table-scroll" tabIndex={0} role="region" aria-label={texts.sampling.services_that_sampled}><table class="sums stand-for">
            <thead><tr><th scope="col">{texts.sampling.service}</th><th scope="col">{texts.sampling.sampled}</th><th scope="col">{texts.sampling.spans_stored}</th><th scope="col">{texts.sampling.stand_for}</th></tr></thead>
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
        </>
      )}
      {!found && answer.loading && <Loading what={texts.sampling.what_spans_stand_for} />}
    </section>
  );
}
