import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { go, here_with, place } from '../../state/router.ts';
import { load_why, why } from '../../state/why.ts';
import { Failure, Loading } from '../../widgets/bits.tsx';
import { Why } from '../../widgets/why.tsx';
import * as texts from '../../texts/texts.ts';

const id_of = (text: string): string => /^[0-9a-f]{32}$/.exec(text.trim().toLowerCase())?.[0] ?? '';

/** Asks what became of a trace; which one is in the address. */
export function Decisions(props: { known_for: string }) {
  const asked = id_of(place.value.params.get('trace') ?? '');
  const text = useSignal(asked);
  useEffect(() => {
    text.value = asked;
    const stop = new AbortController();
    if (asked) void load_why(asked, stop.signal);
    return () => stop.abort();
  }, [asked]);
  const { answer, error } = why.value.trace === asked ? why.value : { answer: null, error: null };
  const wrong = text.value.trim() !== '' && !id_of(text.value);
  const ask = (event: Event): void => {
    event.preventDefault();
    const id = id_of(text.value);
    if (!id) return;
    if (id === asked) void load_why(id);
    else go(here_with('trace', id));
  };
  return (
    <section class="card prose decisions" aria-labelledby="decisions-title">
      <h2 id="decisions-title">{texts.sampling.why_kept_or_dropped}</h2>
      <form class="choose" onSubmit={ask}>
        <label>
          {texts.sampling.trace_id}{' '}
          <input
            type="text" class="mono" value={text.value} spellcheck={false} autocomplete="off" aria-invalid={wrong} aria-describedby="decisions-problem"
            onInput={(e) => (text.value = e.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={!id_of(text.value)}>{texts.sampling.ask}</button>
        {props.known_for && <span class="muted">{texts.sampling.decisions_known_for(props.known_for)}</span>}
      </form>
      <p id="decisions-problem" class="error-text" role="status">{wrong && text.value.trim().length >= 32 ? texts.sampling.not_an_id : ''}</p>
      {error && <Failure error={error} retry={() => void load_why(asked)} />}
      {asked && !answer && !error && <Loading what={texts.sampling.looking_it_up} />}
      {answer && (
        <div role="status">
          <Why answer={answer} />
          {answer.stored_spans > 0 && <p><a href={`/trace/${asked}`}>{texts.sampling.open_the_trace}</a></p>}
        </div>
      )}
    </section>
  );
}
