import { useEffect, useRef, useState } from 'preact/hooks';
import { announce } from '../state/app.ts';
import * as texts from '../texts/texts.ts';

export async function copy_text(text: string, what: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain http on another host has no clipboard API: select and copy the old way.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'visually-hidden';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (!done) {
      announce(texts.frame.could_not_copy(what));
      return false;
    }
  }
  announce(texts.frame.copied(what));
  return true;
}

export function Copy(props: { text: string; what: string; label?: string; class?: string }) {
  const [done, set_done] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const click = async (): Promise<void> => {
    if (!(await copy_text(props.text, props.what))) return;
    set_done(true);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => set_done(false), 1400);
  };
  return (
    <button type="button" class={`quiet copy ${props.class ?? ''}`} onClick={click} aria-label={texts.frame.copy(props.what)} title={texts.frame.copy(props.what)}>
      {props.label ? <span>{done ? texts.frame.copied_now : props.label}</span> : <CopyIcon done={done} />}
    </button>
  );
}

function CopyIcon(props: { done: boolean }) {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" class="icon">
      {props.done ? <path d="M3 8.5l3.2 3.2L13 5" /> : <path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" />}
    </svg>
  );
}
