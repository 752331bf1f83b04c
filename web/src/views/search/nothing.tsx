import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { search_traces } from '../../api/client.ts';
import { count, day_and_clock } from '../../model/format.ts';
import { all_of, conditions_of } from '../../model/narrow_query.ts';
import { kPresets, range_label, resolve_range, resolve_time, type TimeRange } from '../../model/time_range.ts';
import { now_ns, range, set_range } from '../../state/app.ts';
import * as texts from '../../texts/texts.ts';

const kCountMax = 200;
const kConditionsMax = 6;

/** A longer range that has matches, and how many of them at least. */
interface Wider {
  range: TimeRange;
  label: string;
  traces: number;
  is_all: boolean;
}

/** A condition without which something would be found. */
interface Spare {
  condition: string;
  q: string;
}

/** Nothing was found: where there is something, and which condition is to blame, as far as a few more questions tell. */
export function Nothing(props: { q: string; run: (q: string) => void }) {
  const wider = useSignal<Wider | 'none' | null>(null);
  const spares = useSignal<Spare[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    // What these cannot find out is left unsaid: that nothing was found stays true.
    void look_further(props.q, stop.signal).then((found) => (wider.value = found ?? 'none')).catch(() => undefined);
    void conditions_to_blame(props.q, (one) => (spares.value = [...spares.value, one]), stop.signal).catch(() => undefined);
    return () => stop.abort();
  }, []);
  const next = longer_ranges()[0];
  const found = wider.value;
  return (
    <div class="empty">
      <h2>{texts.search.no_traces_match}</h2>
      <p class="muted">{texts.search.time_range(range_label(range.value, day_and_clock).toLowerCase())}</p>
      {found === 'none' && next && <p>{texts.search.nor_in_the(kPresets[kPresets.length - 1].label.toLowerCase())}</p>}
      {found && found !== 'none' ? (
        <p role="status">
          {(found.is_all ? texts.search.match_in_the : texts.search.at_least_match_in_the)(found.traces, count(found.traces), found.label.toLowerCase())}{' '}
          <button type="button" class="primary" onClick={() => set_range(found.range)}>
            {texts.search.look_at_the(found.label.toLowerCase())}
          </button>
        </p>
      ) : found === null && next && (
        <button type="button" onClick={() => set_range(next.range)}>
          {texts.search.look_at_the(next.label.toLowerCase())}
        </button>
      )}
      {spares.value.length > 0 && (
        <section class="spares" aria-label={texts.search.conditions_to_blame}>
          <p>{texts.search.there_is_something_without}</p>
          <ul class="plain">
            {spares.value.map((one) => (
              <li key={one.condition}>
                <code class="wrap">{one.condition}</code>{' '}
                <button type="button" onClick={() => props.run(one.q)} aria-label={texts.search.search_without(one.condition)}>
                  {texts.search.search_without_it}
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
      {props.q.trim() ? (
        <p class="muted">
          {texts.search.text_is_compared_exactly_upper_and} <code>=~</code> {texts.search.takes_a_regular_expression}
        </p>
      ) : null}
    </div>
  );
}

function longer_ranges(): typeof kPresets {
  const now = now_ns();
  const reach = resolve_time(range.peek().from, now) ?? now;
  return kPresets.filter((preset) => (resolve_time(preset.range.from, now) ?? now) < reach);
}

/** One question over the longest range: its newest matches tell which range is long enough. */
async function look_further(q: string, signal: AbortSignal): Promise<Wider | null> {
  const longer = longer_ranges();
  if (longer.length === 0) return null;
  const now = now_ns();
  const starts: bigint[] = [];
  const { from, to } = resolve_range(longer[longer.length - 1].range, now);
  await search_traces({ q, from, to, limit: kCountMax, cursor: null }, (trace) => starts.push(BigInt(trace.start_ns)), signal);
  for (const { range, label } of longer) {
    const since = resolve_time(range.from, now) ?? now;
    const traces = starts.filter((start) => start >= since).length;
    if (traces > 0) return { range, label, traces, is_all: traces < kCountMax };
  }
  return null;
}

/** Of several conditions those that alone keep everything out: without one of them something is found. */
async function conditions_to_blame(q: string, found: (one: Spare) => void, signal: AbortSignal): Promise<void> {
  const conditions = conditions_of(q);
  if (conditions.length < 2 || conditions.length > kConditionsMax) return;
  const { from, to } = resolve_range(range.peek(), now_ns());
  for (const condition of conditions) {
    const others = all_of(conditions.filter((one) => one !== condition));
    let is_found = false;
    await search_traces({ q: others, from, to, limit: 1, cursor: null }, () => (is_found = true), signal);
    if (is_found && !signal.aborted) found({ condition, q: others });
  }
}
