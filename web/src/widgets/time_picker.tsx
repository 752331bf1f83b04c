import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { day_and_clock } from '../model/format.ts';
import { kPresets, range_label, resolve_range, resolve_time } from '../model/time_range.ts';
import { now_ns, range, set_range, utc } from '../state/app.ts';
import { Icon, kIcons } from './bits.tsx';
import * as texts from '../texts/texts.ts';

/** Local time as datetime-local wants it. */
function field_text(ns: bigint): string {
  return day_and_clock(Number(ns / 1000000n)).replace(' ', 'T');
}

export function TimePicker() {
  const open = useSignal(false);
  const wrong = useSignal('');
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    if (!open.value) return;
    const outside = (event: Event): void => {
      if (!(event.target instanceof Node && root.current?.contains(event.target))) open.value = false;
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open.value]);

  const close = (): void => {
    open.value = false;
    button.current?.focus();
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    // The fields hold no zone: they mean what the page writes times in.
    const zone = utc.value ? 'Z' : '';
    const from = resolve_time(`${data.get('from')}${zone}`, now_ns());
    const to = resolve_time(`${data.get('to')}${zone}`, now_ns());
    if (from === null || to === null || from >= to) {
      wrong.value = texts.frame.the_start_must_be_before_the;
      return;
    }
    wrong.value = '';
    set_range({ from: String(from), to: String(to) });
    close();
  };
  const { from, to } = resolve_range(range.value, now_ns());
  return (
    <div
      class="picker" ref={root}
      onKeyDown={(e) => {
        if (e.key !== 'Escape' || !open.value) return;
        e.preventDefault();
        e.stopPropagation();
        close();
      }}
    >
      <button type="button" ref={button} aria-expanded={open.value} aria-haspopup="dialog" onClick={() => (open.value = !open.value)}>
        <span class="visually-hidden">{texts.frame.time_range_is} </span>
        {range_label(range.value, day_and_clock)}
        {utc.value && <span class="muted">UTC</span>}
        <Icon d={kIcons.down} size={12} />
      </button>
      {open.value && (
        <div class="popover" role="dialog" aria-label={texts.frame.time_range}>
          <ul class="presets">
            {kPresets.map((preset) => (
              <li key={preset.range.from}>
                <button
                  type="button" class="quiet" aria-pressed={preset.range.from === range.value.from && preset.range.to === range.value.to}
                  onClick={() => {
                    set_range(preset.range);
                    close();
                  }}
                >
                  {preset.label}
                </button>
              </li>
            ))}
          </ul>
          <form onSubmit={submit} class="absolute">
            <label>
              <span>{texts.frame.from}</span>
              <input type="datetime-local" name="from" step="1" defaultValue={field_text(from)} required />
            </label>
            <label>
              <span>{texts.frame.to}</span>
              <input type="datetime-local" name="to" step="1" defaultValue={field_text(to)} required />
            </label>
            {wrong.value && <p class="error-text" role="alert">{wrong.value}</p>}
            <button type="submit">{texts.frame.use_these_times}</button>
          </form>
        </div>
      )}
    </div>
  );
}
