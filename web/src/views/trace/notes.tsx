import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { ago, day_and_clock } from '../../model/format.ts';
import { announce } from '../../state/app.ts';
import { add_note, kNoteMax, load_notes, type Note, notes, remove_note } from '../../state/kept.ts';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

/** What people wrote at this trace, for everyone who opens it; and the form that writes more. */
export function Notes(props: { view: ViewState }) {
  const { id, writing_note: writing } = props.view;
  const text = useSignal('');
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => void load_notes(id), [id]);
  useLayoutEffect(() => {
    if (writing.value) field.current?.focus();
  }, [writing.value]);
  const { list, error } = notes.value.trace === id ? notes.value : { list: [], error: null };
  const at_span = useSignal(true);
  const detail = props.view.detail.value;
  const selected = detail && detail.row > 0 ? detail : null;
  const span = at_span.value && selected ? selected.span_id : '';
  const name = span && selected ? selected.name : '';
  if (list.length === 0 && !writing.value) return null;
  const save = async (event?: Event): Promise<void> => {
    event?.preventDefault();
    if (!text.value.trim() || !(await add_note(id, { span, name, text: text.value, at_ms: Date.now() }))) return;
    announce(texts.trace.note_added);
    text.value = '';
    writing.value = false;
  };
  return (
    <section class="notes" aria-label={texts.trace.notes}>
      {list.map((note) => (
        <NoteLine key={`${note.at_ms} ${note.span}`} view={props.view} note={note} />
      ))}
      {writing.value && (
        <form
          class="note-form" onSubmit={save}
          onKeyDown={(e) => {
            e.stopPropagation();
            if (e.key === 'Escape') writing.value = false;
            if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) void save();
          }}
        >
          <label>
            <span>{span ? texts.trace.note_at_the_span(name) : texts.trace.note_at_this_trace}{texts.trace.for_everyone_here}</span>
            <textarea ref={field} rows={2} maxLength={kNoteMax} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
          </label>
          {selected && (
            <label class="check">
              <input type="checkbox" checked={at_span.value} onChange={(e) => (at_span.value = e.currentTarget.checked)} />
              <span>{texts.trace.at_the_selected_span}</span>
            </label>
          )}
          <button type="submit" class="primary" disabled={!text.value.trim()}>
            {texts.trace.add_note}
          </button>
          <button type="button" onClick={() => (writing.value = false)}>
            {texts.trace.cancel}
          </button>
          {error && <p class="error-text" role="alert">{error.message}</p>}
        </form>
      )}
    </section>
  );
}

function NoteLine(props: { view: ViewState; note: Note }) {
  const { note, view } = props;
  return (
    <div class="kept-note">
      <p>{note.text}</p>
      <p class="muted small">
        <time dateTime={new Date(note.at_ms).toISOString()} title={day_and_clock(note.at_ms)}>
          {ago(Date.now() - note.at_ms)}
        </time>
        {note.span && (
          <a href={`/trace/${view.id}?span=${encodeURIComponent(note.span)}`} target="_self">
            {texts.trace.at} {note.name || note.span}
          </a>
        )}
        <button type="button" class="quiet small" onClick={() => void remove_note(view.id, note)}>
          {texts.trace.remove}
        </button>
      </p>
    </div>
  );
}
