import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { fetch_settings } from '../../api/client.ts';
import type { SettingsAnswer } from '../../api/types.ts';
import { ago, bytes, count, day_and_clock, duration, percent } from '../../model/format.ts';
import { problem_of } from '../../model/links_out.ts';
import { use_answer } from '../../state/answer.ts';
import { contrast, type Contrast, letter_keys, now_ns, theme, type Theme, utc } from '../../state/app.ts';
import { links_out, remove_link, save_link } from '../../state/links_out.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

/** What this server is set to, how full it is, and what this browser prefers. */
export function SettingsPage() {
  useEffect(() => {
    document.title = texts.settings.settings_spanloom;
  }, []);
  const answer = use_answer('settings', (signal) => fetch_settings(signal));
  return (
    <main class="page settings" id="main" tabIndex={-1}>
      <h1>{texts.settings.settings}</h1>
      <Appearance />
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!answer.value && answer.loading && <Loading what={texts.settings.asking_the_server} />}
      {answer.value && <Storage answer={answer.value} />}
      <LinksOut />
      {answer.value && <InForce answer={answer.value} />}
    </main>
  );
}

function Appearance() {
  return (
    <section class="card" aria-labelledby="appearance">
      <h2 id="appearance">{texts.settings.this_browser}</h2>
      <div class="choices">
        <label>
          {texts.settings.theme}{' '}
          <select value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
            <option value="auto">{texts.settings.as_the_system}</option>
            <option value="light">{texts.settings.light}</option>
            <option value="dark">{texts.settings.dark}</option>
          </select>
        </label>
        <label>
          {texts.settings.contrast}{' '}
          <select value={contrast.value} onChange={(e) => (contrast.value = e.currentTarget.value as Contrast)}>
            <option value="auto">{texts.settings.as_the_system}</option>
            <option value="normal">{texts.settings.normal}</option>
            <option value="high">{texts.settings.high}</option>
          </select>
        </label>
        <label>
          {texts.settings.times}{' '}
          <select value={utc.value ? 'utc' : 'local'} onChange={(e) => (utc.value = e.currentTarget.value === 'utc')}>
            <option value="local">{texts.settings.of_this_computer(Intl.DateTimeFormat().resolvedOptions().timeZone)}</option>
            <option value="utc">UTC</option>
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={letter_keys.value} onChange={(e) => (letter_keys.value = e.currentTarget.checked)} />
          <span>{texts.settings.keys_of_a_single_letter}</span>
        </label>
      </div>
    </section>
  );
}

/** `336h` as people say it; other forms as they are. */
function in_days(text: string): string {
  const hours = /^(\d+)h$/.exec(text);
  return hours ? duration(Number(hours[1]) * 3.6e12) : text;
}

function Storage(props: { answer: SettingsAnswer }) {
  const { storage, settings } = props.answer;
  const value = (key: string): string => settings.find((one) => one.key === key)?.value ?? '';
  const oldest = storage.oldest_ns === null ? null : Number(BigInt(storage.oldest_ns) / 1000000n);
  const disk = storage.disk && { total: Number(storage.disk.total_bytes), free: Number(storage.disk.free_bytes) };
  const limit = Number(value('retention.disk_used_max'));
  const kept_for = value('retention.for');
  const kept_bytes = value('retention.bytes');
  const used = disk ? 1 - disk.free / Math.max(1, disk.total) : 0;
  return (
    <section class="card" aria-labelledby="storage">
      <h2 id="storage">{texts.settings.storage_and_retention}</h2>
      {storage.state !== 'ok' && <p class="failure" role="alert">{texts.settings.the_store_is(storage.state, storage.reason)}</p>}
      <dl class="pairs">
        <div><dt>{texts.settings.spans_stored}</dt><dd>{texts.settings.in_segments(count(Number(storage.spans)), count(storage.segments))}</dd></div>
        <div><dt>{texts.settings.on_disk}</dt><dd>{texts.settings.log(bytes(Number(storage.disk_bytes)), bytes(Number(storage.log_bytes)))}</dd></div>
        <div>
          <dt>{texts.settings.oldest}</dt>
          <dd>{oldest === null ? texts.settings.nothing_yet : <span title={day_and_clock(oldest)}>{ago(Number(now_ns() / 1000000n) - oldest)}</span>}</dd>
        </div>
        {disk && (
          <div>
            <dt>{texts.settings.disk}</dt>
            <dd>
              <span class="meter" role="img" aria-label={texts.settings.of_the_disk_is_in_use(percent(used, 1))} style={{ '--used': String(used), '--limit': String(limit || 1) }} />
              {texts.settings.of_in_use_free(percent(used, 1), bytes(disk.total), bytes(disk.free))}
            </dd>
          </div>
        )}
        <div>
          <dt>{texts.settings.spans_are_kept}</dt>
          <dd>
            {kept_for && kept_for !== '0' ? texts.settings.for_word(in_days(kept_for)) : texts.settings.without_a_limit_of_time}
            {kept_bytes && kept_bytes !== '0' ? texts.settings.at_most(kept_bytes) : ''}
            {limit ? texts.settings.until_the_disk_is_full_then(Math.round(limit * 100)) : ''}
          </dd>
        </div>
        {storage.duplicates > 0 && <div><dt>{texts.settings.resends}</dt><dd>{texts.settings.recognised_and_stored_once(count(storage.duplicates))}</dd></div>}
        {storage.quarantined > 0 && <div><dt>{texts.settings.damage}</dt><dd class="error-text">{texts.settings.files_could_not_be_read_and(count(storage.quarantined))}</dd></div>}
      </dl>
    </section>
  );
}

function LinksOut() {
  const name = useSignal('');
  const url = useSignal('');
  useEffect(() => void links_out.load(), []);
  const problem = url.value.trim() ? problem_of(url.value.trim()) : '';
  const ready = name.value.trim() !== '' && url.value.trim() !== '' && problem === '';
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!ready || !(await save_link({ name: name.value.trim(), url: url.value.trim() }))) return;
    name.value = '';
    url.value = '';
  };
  return (
    <section class="card" aria-labelledby="links-title">
      <h2 id="links-title">{texts.settings.links_to_other_systems}</h2>
      <p class="muted">
        {texts.settings.shown_beside_every_span_that_has} <code>{'{trace}'}</code> <code>{'{span}'}</code> <code>{'{service}'}</code> <code>{'{operation}'}</code>{' '}
        <code>{'{start_ms}'}</code> <code>{'{end_ms}'}</code>{texts.settings.or_the_key_of_an_attribute} <code>{'{host.name}'}</code>{texts.settings.for_everyone_who_uses_this_server}
      </p>
      {links_out.list.value.length > 0 && (
        <table class="sums links-table">
          <thead><tr><th scope="col">{texts.settings.name}</th><th scope="col" class="text">{texts.settings.address}</th><th scope="col"><span class="visually-hidden">{texts.settings.remove}</span></th></tr></thead>
          <tbody>
            {links_out.list.value.map((link) => (
              <tr key={link.name}>
                <th scope="row">{link.name}</th>
                <td class="text mono">{link.url}</td>
                <td><button type="button" class="quiet" onClick={() => void remove_link(link.name)} aria-label={texts.settings.remove_link(link.name)}>{texts.settings.remove}</button></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <form class="choose" onSubmit={(e) => void save(e)}>
        <label>{texts.settings.name} <input type="text" value={name.value} maxLength={60} placeholder={texts.settings.logs} onInput={(e) => (name.value = e.currentTarget.value)} /></label>
        <label class="grow">
          {texts.settings.address}{' '}
          <input
            type="text" class="mono" value={url.value} spellcheck={false} placeholder="https://logs.example/?q={trace}" aria-invalid={problem !== ''} aria-describedby="link-problem"
            onInput={(e) => (url.value = e.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={!ready}>{links_out.list.value.some((one) => one.name === name.value.trim()) ? texts.settings.replace : texts.settings.add}</button>
      </form>
      <p id="link-problem" class="error-text" role="status">{problem || links_out.error.value?.message || ''}</p>
    </section>
  );
}

function InForce(props: { answer: SettingsAnswer }) {
  const changed = useSignal(false);
  const { settings, version } = props.answer;
  const shown = changed.value ? settings.filter((one) => !one.is_default) : settings;
  return (
    <section class="card" aria-labelledby="in-force">
      <h2 id="in-force">{texts.settings.configuration_in_force}</h2>
      <p class="muted">
        {texts.settings.spanloom_set_in_the_configuration(version)}{' '}
        <label class="check">
          <input type="checkbox" checked={changed.value} onChange={(e) => (changed.value = e.currentTarget.checked)} />
          <span>{texts.settings.only_what_is_not_the_default}</span>
        </label>
      </p>
      {shown.length === 0 && <p class="muted">{texts.settings.everything_is_as_it_comes}</p>}
      {shown.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={texts.settings.settings_in_force}>
          <table class="sums in-force">
            <thead><tr><th scope="col">{texts.settings.setting}</th><th scope="col" class="text">{texts.settings.value}</th><th scope="col" class="text">{texts.settings.what_it_does}</th></tr></thead>
            <tbody>
              {shown.map((one) => (
                <tr key={one.key}>
                  <th scope="row" class="mono">{one.key}</th>
                  <td class="text mono">{one.value}{!one.is_default && <span class="badge">{texts.settings.set}</span>}</td>
                  <td class="text muted">{one.text}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
