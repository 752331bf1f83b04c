import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { duration } from '../model/format.ts';
import { quote, trace_id_in } from '../model/url.ts';
import { can_analyse } from '../state/analysis.ts';
import { boot, type Command, contrast, high_contrast, next_theme, open_dialog, page_commands, page_link, utc } from '../state/app.ts';
import { recent, saved } from '../state/kept.ts';
import { load_pins, pins } from '../state/pins.ts';
import { go } from '../state/router.ts';
import { Dialog } from './dialog.tsx';

const kMost = 12;

function commands(text: string): Command[] {
  const id = trace_id_in(text);
  if (id) return [{ label: `Open trace ${id.slice(0, 12)}…`, note: 'trace', run: () => go(`/trace/${id}`) }];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (command: Command): boolean => words.every((word) => `${command.label} ${command.note}`.toLowerCase().includes(word));
  const pages: Command[] = [
    { label: 'Home', note: 'page', run: () => go(page_link('/')) },
    { label: 'Search', note: 'page', run: () => go(page_link('/search')) },
    { label: 'Map', note: 'page', run: () => go(page_link('/map')) },
    { label: 'Errors', note: 'page', run: () => go(page_link('/errors')) },
    { label: 'Databases', note: 'page', run: () => go(page_link('/databases')) },
    { label: 'Compare traces or groups', note: 'page', run: () => go(page_link('/compare')) },
    { label: 'Sampling: what is kept and why', note: 'page', run: () => go(page_link('/sampling')) },
    { label: 'Settings', note: 'page', run: () => go('/settings') },
    { label: 'Open a trace file', note: 'page', run: () => go('/file') },
    { label: 'Live', note: 'page', run: () => go('/live') },
    { label: 'Traces with errors', note: 'search', run: () => go(page_link('/search', { q: '{ status = error }' })) },
    { label: 'Slow traces, over one second', note: 'search', run: () => go(page_link('/search', { q: '{ duration > 1s }' })) },
    { label: 'Send data', note: 'page', run: () => go('/welcome') },
    { label: 'Light or dark', note: 'theme', run: next_theme },
    { label: high_contrast.value ? 'Normal contrast' : 'High contrast', note: 'theme', run: () => (contrast.value = high_contrast.value ? 'normal' : 'high') },
    { label: utc.value ? 'Times of this computer' : 'Times in UTC', note: 'theme', run: () => (utc.value = !utc.value) },
    { label: 'Keys', note: 'help', run: () => (open_dialog.value = 'help') },
  ];
  const pinned = pins.value.map((pin) => ({ label: `${pin.service} ${pin.name} ${duration(pin.duration_ns)}`, note: 'pinned trace', run: () => go(`/trace/${pin.trace}`) }));
  const kept = saved.list.value.map(({ name, q }) => ({ label: name, note: 'saved search', run: () => go(page_link('/search', { q })) }));
  const last = recent.value.map((q) => ({ label: q, note: 'recent search', run: () => go(page_link('/search', { q })) }));
  const services = (boot.value?.services ?? []).map((name) => ({
    label: name, note: 'service', run: () => go(can_analyse() ? page_link(`/service/${encodeURIComponent(name)}`) : page_link('/search', { q: `{ resource.service.name = ${quote(name)} }` })),
  }));
  const found = [...page_commands.value, ...pages, ...pinned, ...kept, ...services, ...last].filter(fits).slice(0, kMost);
  const plain = text.trim();
  if (plain.startsWith('{')) found.unshift({ label: `Search ${plain}`, note: 'TraceQL', run: () => go(page_link('/search', { q: plain })) });
  return found;
}

export function Palette() {
  const text = useSignal('');
  const at = useSignal(0);
  useEffect(() => {
    void saved.load();
    void load_pins();
  }, []);
  const list = commands(text.value);
  const chosen = Math.min(at.value, list.length - 1);
  const close = (): void => {
    open_dialog.value = 'none';
  };
  const run = (command: Command | undefined): void => {
    if (!command) return;
    close();
    command.run();
  };
  const key = (event: KeyboardEvent & { currentTarget: HTMLInputElement }): void => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step && list.length) {
      event.preventDefault();
      at.value = (chosen + step + list.length) % list.length;
    }
    if (event.key === 'Enter') {
      event.preventDefault();
      // Of what stands in the field: the list drawn may be a keystroke behind.
      const now = commands(event.currentTarget.value);
      run(now[Math.min(at.value, now.length - 1)]);
    }
  };
  return (
    <Dialog label="Go to" class="palette" close={close}>
      <input
        type="text" autofocus role="combobox" aria-label="Page, service or trace id" aria-expanded="true" aria-controls="palette-list"
        aria-activedescendant={list.length ? `palette-${chosen}` : undefined} aria-autocomplete="list"
        placeholder="Page, service, trace id or { TraceQL }" value={text.value} spellcheck={false}
        onInput={(e) => {
          text.value = e.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={key}
      />
      <ul id="palette-list" role="listbox" aria-label="Places">
        {list.map((command, i) => (
          <li key={`${command.note} ${command.label}`} id={`palette-${i}`} role="option" aria-selected={i === chosen} onMouseMove={() => (at.value = i)} onClick={() => run(command)}>
            <span>{command.label}</span>
            <span class="muted small">{command.note}</span>
          </li>
        ))}
      </ul>
      {list.length === 0 && <p class="muted palette-none">Nothing by that name. A trace id has 32 hex digits.</p>}
    </Dialog>
  );
}
