import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { fetch_values } from '../api/client.ts';
import { duration } from '../model/format.ts';
import { is_relative } from '../model/time_range.ts';
import { quote, trace_id_in } from '../model/url.ts';
import { can_analyse } from '../state/analysis.ts';
import { boot, type Command, contrast, high_contrast, link_here, next_theme, open_dialog, page_commands, page_link, range, utc } from '../state/app.ts';
import { recent, saved } from '../state/kept.ts';
import { load_pins, pins } from '../state/pins.ts';
import { go, place } from '../state/router.ts';
import { copy_text } from './copy.tsx';
import { Dialog } from './dialog.tsx';
import * as texts from '../texts/texts.ts';

const kMost = 12;
const kOperationsFrom = 2; // letters
const kPauseMs = 120;

/** Operations whose name holds what was typed: the server knows them all. */
function use_operations(text: string): Command[] {
  const found = useSignal<Command[]>([]);
  const typed = text.trim();
  useEffect(() => {
    found.value = [];
    if (typed.length < kOperationsFrom || typed.startsWith('{') || trace_id_in(typed)) return;
    const stop = new AbortController();
    const pattern = typed.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*');
    const wait = setTimeout(() => {
      fetch_values('name', `{ name =~ ${quote(`(?i).*${pattern}.*`)} }`, stop.signal)
        .then((values) => {
          found.value = values.map(({ value }) => ({ label: value, note: texts.frame.operation, run: () => go(page_link('/search', { q: `{ name = ${quote(value)} }` })) }));
        })
        .catch(() => undefined); // the rest of the list is worth showing without them
    }, kPauseMs);
    return () => {
      clearTimeout(wait);
      stop.abort();
    };
  }, [typed]);
  return found.value;
}

function commands(text: string, operations: readonly Command[]): { list: Command[]; more: number } {
  const id = trace_id_in(text);
  if (id) return { list: [{ label: texts.frame.open_trace(id.slice(0, 12)), note: texts.frame.trace, run: () => go(`/trace/${id}`) }], more: 0 };
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (command: Command): boolean => words.every((word) => `${command.label} ${command.note}`.toLowerCase().includes(word));
  const pages: Command[] = [
    { label: texts.frame.home, note: texts.frame.page, run: () => go(page_link('/')) },
    { label: texts.frame.search, note: texts.frame.page, run: () => go(page_link('/search')) },
    { label: texts.frame.map, note: texts.frame.page, run: () => go(page_link('/map')) },
    { label: texts.frame.errors, note: texts.frame.page, run: () => go(page_link('/errors')) },
    { label: texts.frame.databases, note: texts.frame.page, run: () => go(page_link('/databases')) },
    { label: texts.frame.compare_traces_or_groups, note: texts.frame.page, run: () => go(page_link('/compare')) },
    { label: texts.frame.sampling_what_is_kept_and_why, note: texts.frame.page, run: () => go(page_link('/sampling')) },
    { label: texts.frame.settings, note: texts.frame.page, run: () => go('/settings') },
    { label: texts.frame.open_a_trace_file, note: texts.frame.page, run: () => go('/file') },
    { label: texts.frame.live, note: texts.frame.page, run: () => go('/live') },
    { label: texts.frame.traces_with_errors, note: texts.frame.search_note, run: () => go(page_link('/search', { q: '{ status = error }' })) },
    { label: texts.frame.slow_traces_over_one_second, note: texts.frame.search_note, run: () => go(page_link('/search', { q: '{ duration > 1s }' })) },
    { label: texts.frame.send_data, note: texts.frame.page, run: () => go('/welcome') },
    { label: texts.frame.copy_a_link_to_this_page, note: texts.frame.share, run: () => void copy_text(link_here(false), texts.frame.link_to_this_page) },
    ...(is_relative(range.value) && !place.value.path.startsWith('/trace/') ? [{ label: texts.frame.copy_a_link_with_this_very_time, note: texts.frame.share, run: () => void copy_text(link_here(true), texts.frame.link_to_this_page) }] : []),
    { label: texts.frame.light_or_dark, note: texts.frame.theme, run: next_theme },
    { label: high_contrast.value ? texts.frame.normal_contrast : texts.frame.high_contrast, note: texts.frame.theme, run: () => (contrast.value = high_contrast.value ? 'normal' : 'high') },
    { label: utc.value ? texts.frame.times_of_this_computer : texts.frame.times_in_utc, note: texts.frame.theme, run: () => (utc.value = !utc.value) },
    { label: texts.frame.keys, note: texts.frame.help, run: () => (open_dialog.value = 'help') },
  ];
  const pinned = pins.value.map((pin) => ({ label: pin.about ? `${pin.about.service} ${pin.about.name} ${duration(pin.about.duration_ns)}` : `${pin.trace} ${pin.reason}`, note: texts.frame.pinned_trace, run: () => go(`/trace/${pin.trace}`) }));
  const kept = saved.list.value.map(({ name, q }) => ({ label: name, note: texts.frame.saved_search, run: () => go(page_link('/search', { q })) }));
  const last = recent.value.map((q) => ({ label: q, note: texts.frame.recent_search, run: () => go(page_link('/search', { q })) }));
  const services = (boot.value?.services ?? []).map((name) => ({
    label: name, note: texts.frame.service, run: () => go(can_analyse() ? page_link(`/service/${encodeURIComponent(name)}`) : page_link('/search', { q: `{ resource.service.name = ${quote(name)} }` })),
  }));
  const fitting = [...page_commands.value, ...pages, ...pinned, ...kept, ...services, ...last, ...operations].filter(fits);
  const found = fitting.slice(0, kMost);
  const plain = text.trim();
  if (plain.startsWith('{')) found.unshift({ label: texts.frame.search_for(plain), note: 'TraceQL', run: () => go(page_link('/search', { q: plain })) });
  return { list: found, more: fitting.length - kMost };
}

export function Palette() {
  const text = useSignal('');
  const at = useSignal(0);
  useEffect(() => {
    void saved.load();
    void load_pins();
  }, []);
  const operations = use_operations(text.value);
  const { list, more } = commands(text.value, operations);
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
      const now = commands(event.currentTarget.value, operations).list;
      run(now[Math.min(at.value, now.length - 1)]);
    }
  };
  return (
    <Dialog label={texts.frame.go_to} class="palette" close={close}>
      <input
        type="text" autofocus role="combobox" aria-label={texts.frame.page_service_or_trace_id} aria-expanded="true" aria-controls="palette-list"
        aria-activedescendant={list.length ? `palette-${chosen}` : undefined} aria-autocomplete="list"
        placeholder={texts.frame.page_service_trace_id_or_traceql} value={text.value} spellcheck={false}
        onInput={(e) => {
          text.value = e.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={key}
      />
      <ul id="palette-list" role="listbox" aria-label={texts.frame.places}>
        {list.map((command, i) => (
          <li key={`${command.note} ${command.label}`} id={`palette-${i}`} role="option" aria-selected={i === chosen} onMouseMove={() => (at.value = i)} onClick={() => run(command)}>
            <span>{command.label}</span>
            <span class="muted small">{command.note}</span>
          </li>
        ))}
      </ul>
      {more > 0 && <p class="muted small palette-more">{texts.frame.more_places(more)}</p>}
      {list.length === 0 && <p class="muted palette-none">{texts.frame.nothing_by_that_name_a_trace}</p>}
    </Dialog>
  );
}
