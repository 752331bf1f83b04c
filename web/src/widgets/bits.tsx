import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ApiError } from '../api/client.ts';
import { kDarkPalette, kLightPalette, kSlots } from '../model/colors.ts';
import { dark } from '../state/app.ts';
import * as texts from '../texts/texts.ts';

export function color_of(slot: number): string {
  return (dark.value ? kDarkPalette : kLightPalette)[slot % kSlots];
}

/** Coloured square and name of a service. The name is always there: colour never carries the meaning alone. */
export function Service(props: { name: string; slot: number; class?: string }) {
  return (
    <span class={`service ${props.class ?? ''}`}>
      <span class={`dot${props.slot >= kSlots ? ' striped' : ''}`} style={{ '--c': color_of(props.slot) }} aria-hidden="true" />
      <span class="service-name">{props.name}</span>
    </span>
  );
}

/** A failed call: the server's sentence, its hint, the request id, and a way on. */
export function Failure(props: { error: ApiError; retry?: () => void; title?: string }) {
  const { error } = props;
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{props.title ? `${props.title}: ` : ''}</strong>
        {error.message}
      </p>
      {error.hint && <p class="muted">{error.hint}</p>}
      <p class="failure-foot">
        {props.retry && (
          <button type="button" onClick={props.retry}>
            {texts.frame.retry}
          </button>
        )}
        {error.request_id && <span class="muted">{texts.frame.request(error.request_id)}</span>}
      </p>
    </div>
  );
}

/** Shows its content only when the wait has become noticeable. */
export function AfterDelay(props: { ms: number; children: ComponentChildren }) {
  const [shown, set_shown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set_shown(true), props.ms);
    return () => clearTimeout(timer);
  }, []);
  return shown ? <>{props.children}</> : null;
}

export function Loading(props: { what: string; cancel?: () => void }) {
  return (
    <AfterDelay ms={150}>
      <div class="loading" role="status">
        <span class="spinner" aria-hidden="true" />
        {props.what}…
        {props.cancel && (
          <button type="button" onClick={props.cancel}>
            {texts.frame.cancel}
          </button>
        )}
      </div>
    </AfterDelay>
  );
}

export function Icon(props: { d: string; size?: number }) {
  const size = props.size ?? 16;
  return (
    <svg viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" class="icon">
      <path d={props.d} />
    </svg>
  );
}

export const kIcons = {
  close: 'M4 4l8 8M12 4l-8 8',
  up: 'M4 10l4-4 4 4',
  down: 'M4 6l4 4 4-4',
  left: 'M10 4L6 8l4 4',
  right: 'M6 4l4 4-4 4',
  search: 'M7 2.5a4.5 4.5 0 110 9 4.5 4.5 0 010-9zM10.5 10.5l3.5 3.5',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  fit: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  sun: 'M8 5a3 3 0 110 6 3 3 0 010-6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8L13 13M13 3l-1.2 1.2M4.2 11.8L3 13',
  moon: 'M13 9.5A5.5 5.5 0 016.5 3a5.5 5.5 0 106.500 6.500z',
  collapse: 'M3 3h10M3 13h10M8 5.500v5M6 7.500l2-2 2 2',
  link: 'M6.500 9.500l3-3M7 4.500l1.500-1.500a3.200 3.200 0 014.500 4.500L11.500 9M9 11.500L7.500 13A3.200 3.200 0 013 8.500L4.500 7',
  filter: 'M2.500 3.500h11L9.500 8.500v4l-3 1v-5z',
  pin: 'M6 2.500h4M6.500 2.500v4.500L4.500 9.500h7L9.500 7V2.500M8 9.500v4.500',
  gear: 'M8 5.800a2.200 2.200 0 110 4.400 2.200 2.200 0 010-4.400zM8 1.800v2M8 12.200v2M1.800 8h2M12.200 8h2M3.600 3.600l1.400 1.400M11 11l1.400 1.400M12.400 3.600L11 5M5 11l-1.400 1.400',
  exclude: 'M8 2.500a5.500 5.500 0 110 11 5.500 5.500 0 010-11zM5.500 8h5',
  out: 'M9 3h4v4M13 3L7.500 8.500M11 9.500V13H3V5h3.500',
  warn: 'M8 2.500l6 11H2zM8 6.500v3.500M8 11.800v.2',
};
