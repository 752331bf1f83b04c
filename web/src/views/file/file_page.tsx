import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { find_in_rows } from '../../model/find_in_rows.ts';
import { duration } from '../../model/format.ts';
import { read_trace } from '../../model/url.ts';
import { place } from '../../state/router.ts';
import { open_error, open_file, opened } from '../../state/opened_file.ts';
import { Body } from '../trace/body.tsx';
import { Findings, Head } from '../trace/head.tsx';
import { ViewState } from '../trace/view_state.ts';
import * as texts from '../../texts/texts.ts';

/** A trace file of this computer, shown as any other trace. It is read in the browser and not sent to the server. */
export function FilePage() {
  const at = useSignal(0);
  const file = opened.value;
  useEffect(() => {
    document.title = texts.file.spanloom(file ? file.name : texts.file.open_a_file);
    at.value = 0;
  }, [file]);
  const chosen = file?.traces[Math.min(at.value, file.traces.length - 1)] ?? null;
  const clocks = read_trace(place.value.params).clocks;
  const view = useMemo(() => {
    if (!chosen) return null;
    const state = new ViewState(chosen.id, chosen.skeleton, {
      is_stored: false, read: async (rows) => rows.map((row) => chosen.rows[row]), find: async (text) => find_in_rows(chosen.rows, text),
    });
    state.panel.value = window.innerWidth >= 1180;
    return state;
  }, [chosen, clocks]);
  useEffect(() => () => view?.destroy(), [view]);

  if (!file || !view) return <Choose />;
  return (
    <main class="trace-page" id="main" tabIndex={-1}>
      <p class="file-line">
        <strong>{file.name}</strong>
        <span class="muted">{texts.file.read_here_not_sent_to_the}</span>
        {file.traces.length > 1 && (
          <label>
            {texts.counts.traces(file.traces.length)}{' '}
            <select value={String(at.value)} onChange={(e) => (at.value = Number(e.currentTarget.value))}>
              {file.traces.slice(0, 500).map((trace, i) => (
                <option key={trace.id} value={String(i)}>
                  {trace.rows[0].service} {trace.rows[0].name} · {texts.counts.spans(trace.rows.length)} · {duration(trace.skeleton.header.dur)}
                </option>
              ))}
            </select>
          </label>
        )}
        <FileButton />
      </p>
      <Head view={view} />
      <Findings view={view} />
      <Body key={`${view.id} ${view.is_corrected}`} view={view} />
    </main>
  );
}

function Choose() {
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.file.open_a_trace_file}</h1>
      {open_error.value && <p class="failure" role="alert">{open_error.value}</p>}
      <div class="drop-zone">
        <p class="lead">{texts.file.drop_a_file_anywhere_on_this}</p>
        <FileButton />
        <p class="muted">{texts.file.what_can_be_opened}</p>
      </div>
    </main>
  );
}

function FileButton() {
  return (
    <label class="file-button">
      <span>{texts.file.choose_a_file}</span>
      <input type="file" accept=".json,.jsonl,.ndjson,application/json" class="visually-hidden" onChange={(e) => {
        const file = e.currentTarget.files?.[0];
        if (file) void open_file(file);
      }} />
    </label>
  );
}
