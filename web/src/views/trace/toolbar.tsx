import { useSignal } from '@preact/signals';
import { count, duration } from '../../model/format.ts';
import { kReductions, type Reduce } from '../../model/reduce.ts';
import { kTraceViews } from '../../model/url.ts';
import { narrow } from '../../state/app.ts';
import { Icon, kIcons } from '../../widgets/bits.tsx';
import { exports_of, take_along } from './export.ts';
import type { Zoomable } from './keys.ts';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

const kReduceNames: Record<Reduce, string> = {
  all: texts.trace.everything, auto: texts.trace.what_matters, errors: texts.trace.errors, critical: texts.trace.critical_path_title, matches: texts.trace.matches,
};

/** Views, search inside the trace, what is shown of it, its time window, and ways to take it along. */
export function Toolbar(props: { view: ViewState; field: { current: HTMLInputElement | null }; picture: { current: Zoomable | null } }) {
  const { view } = props;
  const total = view.matches.value.length;
  const searching = view.find.value.trim() !== '';
  const shown = view.view.value;
  const has_rows = shown === 'waterfall';
  const has_time = has_rows || (shown === 'flame' && !view.merged.value);
  const zoom = (factor: number): void => props.picture.current?.zoom(factor);
  return (
    <div class="toolbar" role="toolbar" aria-label={texts.trace.trace_tools}>
      <Views view={view} />
      <div class="find">
        <Icon d={kIcons.search} size={14} />
        <input
          type="search" ref={props.field} value={view.find.value} placeholder={texts.trace.find} aria-label={texts.trace.find_in_the_trace}
          onInput={(e) => view.set_find(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter') {
              e.preventDefault();
              view.next_match(e.shiftKey ? -1 : 1);
            }
            if (e.key === 'Escape') {
              e.preventDefault();
              e.stopPropagation();
              if (view.find.value) view.set_find('');
              props.picture.current?.scroller.focus();
            }
          }}
        />
        {searching && (
          <span class="find-count">
            {total === 0 ? texts.trace.none : `${view.match_at.value >= 0 ? count(view.match_at.value + 1) : '–'} / ${count(total)}`}
          </span>
        )}
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(-1)} aria-label={texts.trace.previous_match} title={texts.trace.previous_match_n}>
          <Icon d={kIcons.up} />
        </button>
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(1)} aria-label={texts.trace.next_match} title={texts.trace.next_match_n}>
          <Icon d={kIcons.down} />
        </button>
      </div>
      {has_rows && <Folding view={view} />}
      {shown === 'flame' && (
        <label class="check">
          <input type="checkbox" checked={view.merged.value} onChange={(e) => view.set_merged(e.currentTarget.checked)} />
          <span title={texts.trace.join_the_spans_that_have_the}>{texts.trace.merged}</span>
        </label>
      )}
      {has_time && view.gaps.value.length > 0 && (
        <label class="check">
          <input type="checkbox" checked={view.short_gaps.value} onChange={(e) => view.set_short_gaps(e.currentTarget.checked)} />
          <span title={texts.trace.draw_the_times_in_which_nothing}>{texts.trace.shorten(texts.counts.idle_gaps(view.gaps.value.length))}</span>
        </label>
      )}
      <div class="group right">
        {has_time && <Zoom view={view} zoom={zoom} />}
        <Export view={view} />
      </div>
    </div>
  );
}

function Zoom(props: { view: ViewState; zoom: (factor: number) => void }) {
  const { view, zoom } = props;
  return (
      <>
        {!view.full.value && view.view.value !== 'waterfall' && (
          <span class="window-label">
            {duration(view.window.value[0])} – {duration(view.window.value[1])}
          </span>
        )}
        <button type="button" class="quiet" onClick={() => zoom(0.5)} aria-label={texts.trace.zoom_in} title={texts.trace.zoom_in_w}>
          <Icon d={kIcons.plus} />
        </button>
        <button type="button" class="quiet" onClick={() => zoom(2)} disabled={view.full.value} aria-label={texts.trace.zoom_out} title={texts.trace.zoom_out_s}>
          <Icon d={kIcons.minus} />
        </button>
        <button type="button" class="quiet" onClick={() => view.fit(view.selected.value)} aria-label={texts.trace.fit_the_selected_span} title={texts.trace.fit_the_selected_span_f}>
          <Icon d={kIcons.fit} />
        </button>
        <button type="button" onClick={() => view.show_all()} disabled={view.full.value} title={texts.trace.show_the_whole_time_0}>
          {texts.trace.all}
        </button>
      </>
  );
}

function Views(props: { view: ViewState }) {
  const { view } = props;
  return (
    <div class="segmented" role="group" aria-label={texts.trace.view}>
      {kTraceViews.map((name, i) => (
        <button
          key={name} type="button" aria-pressed={view.view.value === name} title={`${texts.trace.views[name]} (${i + 1})`}
          onClick={() => view.show(name)}
        >
          {texts.trace.views[name]}
        </button>
      ))}
    </div>
  );
}

function Folding(props: { view: ViewState }) {
  const { view } = props;
  const rows = view.rows.value.length;
  const all_open = rows === view.trace.n;
  return (
    <div class="group">
      <button type="button" onClick={() => view.collapse_to(1)} disabled={view.trace.max_depth < 1} title={texts.trace.fold_to_the_first_level_x}>
        {texts.trace.fold}
      </button>
      <button type="button" onClick={() => view.unfold_all()} disabled={all_open || view.reduce.value !== 'all'} title={texts.trace.show_every_row}>
        {texts.trace.unfold_all}
      </button>
      <label class="reduce">
        <span class="visually-hidden">{texts.trace.show_rows}</span>
        <select value={view.reduce.value} onChange={(e) => view.set_reduce(e.currentTarget.value as Reduce)}>
          {kReductions.map((reduce) => (
            <option key={reduce} value={reduce} disabled={reduce === 'matches' && !view.find.value.trim()}>
              {kReduceNames[reduce]}
            </option>
          ))}
        </select>
      </label>
      {!all_open && narrow.value && <span class="muted small fold-count">{texts.trace.of_rows(count(rows), count(view.trace.n))}</span>}
    </div>
  );
}

/** Files of the trace, made when they are asked for. */
function Export(props: { view: ViewState }) {
  const open = useSignal(false);
  const close = (): void => {
    open.value = false;
  };
  return (
    <div class="menu" onKeyDown={(e) => {
      if (e.key !== 'Escape' || !open.value) return;
      e.stopPropagation();
      close();
    }}>
      <button type="button" aria-expanded={open.value} aria-controls="export-menu" onClick={() => (open.value = !open.value)}>
        {texts.trace.export_word}
      </button>
      {open.value && (
        <ul id="export-menu" class="menu-items card">
          {exports_of(props.view).map((item) => (
            <li key={item.name}>
              {'href' in item ? (
                <a href={item.href} download={item.file} onClick={close}>
                  {item.name}
                </a>
              ) : (
                <button type="button" class="link" onClick={() => {
                  close();
                  void take_along(item);
                }}>
                  {item.name}
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
