import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { kNameMax } from '../../model/kept_searches.ts';
import { forget_recent, forget_search, recent, save_search, saved } from '../../state/kept.ts';
import * as texts from '../../texts/texts.ts';

/** Gives the search in the line a name. */
export function SaveSearch(props: { q: string }) {
  const open = useSignal(false);
  const name = useSignal('');
  const field = useRef<HTMLInputElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    if (open.value) field.current?.focus();
  }, [open.value]);
  const close = (): void => {
    open.value = false;
    name.value = '';
    button.current?.focus();
  };
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (name.value.trim() && (await save_search({ name: name.value, q: props.q }))) close();
  };
  return (
    <>
      <button ref={button} type="button" disabled={!props.q.trim()} aria-expanded={open.value} onClick={() => (open.value ? close() : (open.value = true))} title={texts.search.keep_this_search_under_a_name}>
        {texts.search.save}
      </button>
      {open.value && (
        <form class="save-search" onSubmit={save} onKeyDown={(e) => e.key === 'Escape' && close()}>
          <label>
            <span>{texts.search.save_this_search_as}</span>
            <input ref={field} type="text" maxLength={kNameMax} value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
          </label>
          <button type="submit" class="primary" disabled={!name.value.trim()}>
            {saved.list.value.some((one) => one.name === name.value.trim()) ? texts.search.replace : texts.search.save}
          </button>
          {saved.error.value && <p class="error-text" role="alert">{saved.error.value.message}</p>}
        </form>
      )}
    </>
  );
}

/** Searches that were saved, and the last ones of this browser: shown where the line is empty. */
export function KeptSearches(props: { run: (q: string) => void }) {
  useEffect(() => void saved.load(), []);
  return (
    <>
      {saved.list.value.length > 0 && (
        <ul class="examples" aria-label={texts.search.saved_searches}>
          <li class="muted">{texts.search.saved}</li>
          {saved.list.value.map(({ name, q }) => (
            <li key={name}>
              <button type="button" class="link" onClick={() => props.run(q)} title={q}>
                {name}
              </button>
              <button type="button" class="quiet" aria-label={texts.search.forget_the_saved_search(name)} title={texts.search.forget_it_for_everyone} onClick={() => void forget_search(name)}>
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      {recent.value.length > 0 && (
        <ul class="examples" aria-label={texts.search.recent_searches}>
          <li class="muted">{texts.search.recent}</li>
          {recent.value.map((q) => (
            <li key={q}>
              <button type="button" class="link mono small" onClick={() => props.run(q)}>
                {q}
              </button>
            </li>
          ))}
          <li>
            <button type="button" class="quiet small" onClick={forget_recent}>
              {texts.search.clear}
            </button>
          </li>
        </ul>
      )}
    </>
  );
}
