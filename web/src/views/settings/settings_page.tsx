import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { fetch_settings } from '../../api/client.ts';
import type { SettingsAnswer } from '../../api/types.ts';
import { ago, bytes, count, day_and_clock, percent } from '../../model/format.ts';
import { problem_of } from '../../model/links_out.ts';
import { use_answer } from '../../state/answer.ts';
import { contrast, type Contrast, letter_keys, now_ns, theme, type Theme, utc } from '../../state/app.ts';
import { links_out, remove_link, save_link } from '../../state/links_out.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';

/** What this server is set to, how full it is, and what this browser prefers. */
export function SettingsPage() {
  useEffect(() => {
    document.title = 'Settings · spanloom';
  }, []);
  const answer = use_answer('settings', (signal) => fetch_settings(signal));
  return (
    <main class="page settings" id="main" tabIndex={-1}>
      <h1>Settings</h1>
      <Appearance />
      {answer.error && <Failure error={answer.error} retry={answer.retry} />}
      {!answer.value && answer.loading && <Loading what="Asking the server" />}
      {answer.value && <Storage answer={answer.value} />}
      <LinksOut />
      {answer.value && <InForce answer={answer.value} />}
    </main>
  );
}

function Appearance() {
  return (
    <section class="card" aria-labelledby="appearance">
      <h2 id="appearance">This browser</h2>
      <div class="choices">
        <label>
          Theme{' '}
          <select value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
            <option value="auto">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
        <label>
          Contrast{' '}
          <select value={contrast.value} onChange={(e) => (contrast.value = e.currentTarget.value as Contrast)}>
            <option value="auto">as the system</option>
            <option value="normal">normal</option>
            <option value="high">high</option>
          </select>
        </label>
        <label>
          Times{' '}
          <select value={utc.value ? 'utc' : 'local'} onChange={(e) => (utc.value = e.currentTarget.value === 'utc')}>
            <option value="local">of this computer ({Intl.DateTimeFormat().resolvedOptions().timeZone})</option>
            <option value="utc">UTC</option>
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={letter_keys.value} onChange={(e) => (letter_keys.value = e.currentTarget.checked)} />
          <span>Keys of a single letter</span>
        </label>
      </div>
    </section>
  );
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
      <h2 id="storage">Storage and retention</h2>
      {storage.state !== 'ok' && <p class="failure" role="alert">The store is {storage.state}: {storage.reason}</p>}
      <dl class="pairs">
        <div><dt>Spans stored</dt><dd>{count(Number(storage.spans))} in {count(storage.segments)} segments</dd></div>
        <div><dt>On disk</dt><dd>{bytes(Number(storage.disk_bytes))}, log {bytes(Number(storage.log_bytes))}</dd></div>
        <div>
          <dt>Oldest</dt>
          <dd>{oldest === null ? 'nothing yet' : <span title={day_and_clock(oldest)}>{ago(Number(now_ns() / 1000000n) - oldest)}</span>}</dd>
        </div>
        {disk && (
          <div>
            <dt>Disk</dt>
            <dd>
              <span class="meter" role="img" aria-label={`${percent(used, 1)} of the disk is in use`} style={{ '--used': String(used), '--limit': String(limit || 1) }} />
              {percent(used, 1)} of {bytes(disk.total)} in use, {bytes(disk.free)} free
            </dd>
          </div>
        )}
        <div>
          <dt>Spans are kept</dt>
          <dd>
            {kept_for && kept_for !== '0' ? `for ${kept_for}` : 'without a limit of time'}
            {kept_bytes && kept_bytes !== '0' ? `, at most ${kept_bytes}` : ''}
            {limit ? `, until the disk is ${Math.round(limit * 100)} % full: then the oldest hour goes` : ''}
          </dd>
        </div>
        {storage.duplicates > 0 && <div><dt>Resends</dt><dd>{count(storage.duplicates)} recognised and stored once</dd></div>}
        {storage.quarantined > 0 && <div><dt>Damage</dt><dd class="error-text">{count(storage.quarantined)} files could not be read and were set aside: see `spanloom check`</dd></div>}
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
      <h2 id="links-title">Links to other systems</h2>
      <p class="muted">
        Shown beside every span that has what the address names: <code>{'{trace}'}</code> <code>{'{span}'}</code> <code>{'{service}'}</code> <code>{'{operation}'}</code>{' '}
        <code>{'{start_ms}'}</code> <code>{'{end_ms}'}</code>, or the key of an attribute, like <code>{'{host.name}'}</code>. For everyone who uses this server.
      </p>
      {links_out.list.value.length > 0 && (
        <table class="sums links-table">
          <thead><tr><th scope="col">Name</th><th scope="col" class="text">Address</th><th scope="col"><span class="visually-hidden">Remove</span></th></tr></thead>
          <tbody>
            {links_out.list.value.map((link) => (
              <tr key={link.name}>
                <th scope="row">{link.name}</th>
                <td class="text mono">{link.url}</td>
                <td><button type="button" class="quiet" onClick={() => void remove_link(link.name)} aria-label={`Remove ${link.name}`}>Remove</button></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <form class="choose" onSubmit={(e) => void save(e)}>
        <label>Name <input type="text" value={name.value} maxLength={60} placeholder="Logs" onInput={(e) => (name.value = e.currentTarget.value)} /></label>
        <label class="grow">
          Address{' '}
          <input
            type="text" class="mono" value={url.value} spellcheck={false} placeholder="https://logs.example/?q={trace}" aria-invalid={problem !== ''} aria-describedby="link-problem"
            onInput={(e) => (url.value = e.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={!ready}>{links_out.list.value.some((one) => one.name === name.value.trim()) ? 'Replace' : 'Add'}</button>
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
      <h2 id="in-force">Configuration in force</h2>
      <p class="muted">
        spanloom {version}. Set in the configuration file or by flags when the server starts; secrets are not shown.{' '}
        <label class="check">
          <input type="checkbox" checked={changed.value} onChange={(e) => (changed.value = e.currentTarget.checked)} />
          <span>only what is not the default</span>
        </label>
      </p>
      {shown.length === 0 && <p class="muted">Everything is as it comes.</p>}
      {shown.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Settings in force">
          <table class="sums in-force">
            <thead><tr><th scope="col">Setting</th><th scope="col" class="text">Value</th><th scope="col" class="text">What it does</th></tr></thead>
            <tbody>
              {shown.map((one) => (
                <tr key={one.key}>
                  <th scope="row" class="mono">{one.key}</th>
                  <td class="text mono">{one.value}{!one.is_default && <span class="badge">set</span>}</td>
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
