import { useSignal } from '@preact/signals';
import { count, duration, plural } from '../../model/format.ts';
import { kReductions, type Reduce } from '../../model/reduce.ts';
import { kTraceViews, type TraceView } from '../../model/url.ts';
import { announce } from '../../state/app.ts';
import { Icon, kIcons } from '../../widgets/bits.tsx';
import { exports_of } from './export.ts';
import type { Zoomable } from './keys.ts';
import type { ViewState } from './view_state.ts';

const kViewNames: Record<TraceView, string> = { waterfall: 'Waterfall', flame: 'Flame', graph: 'Graph', table: 'Table', log: 'Log' };
const kReduceNames: Record<Reduce, string> = {
  all: 'Everything', auto: 'What matters', errors: 'Errors', critical: 'Critical path', matches: 'Matches',
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
    <div class="toolbar" role="toolbar" aria-label="Trace tools">
      <Views view={view} />
      <div class="find">
        <Icon d={kIcons.search} size={14} />
        <input
          type="search" ref={props.field} value={view.find.value} placeholder="Find (/)" aria-label="Find in the trace"
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
            {total === 0 ? 'none' : `${view.match_at.value >= 0 ? count(view.match_at.value + 1) : '–'} / ${count(total)}`}
          </span>
        )}
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(-1)} aria-label="Previous match" title="Previous match (N)">
          <Icon d={kIcons.up} />
        </button>
        <button type="button" class="quiet" disabled={total === 0} onClick={() => view.next_match(1)} aria-label="Next match" title="Next match (n)">
          <Icon d={kIcons.down} />
        </button>
      </div>
      {has_rows && <Folding view={view} />}
      {shown === 'flame' && (
        <label class="check">
          <input type="checkbox" checked={view.merged.value} onChange={(e) => view.set_merged(e.currentTarget.checked)} />
          <span title="Join the spans that have the same operations above them (m)">Merged</span>
        </label>
      )}
      {has_time && view.gaps.value.length > 0 && (
        <label class="check">
          <input type="checkbox" checked={view.short_gaps.value} onChange={(e) => view.set_short_gaps(e.currentTarget.checked)} />
          <span title="Draw the times in which nothing runs short">Shorten {plural(view.gaps.value.length, 'idle gap')}</span>
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
        <button type="button" class="quiet" onClick={() => zoom(0.5)} aria-label="Zoom in" title="Zoom in (w)">
          <Icon d={kIcons.plus} />
        </button>
        <button type="button" class="quiet" onClick={() => zoom(2)} disabled={view.full.value} aria-label="Zoom out" title="Zoom out (s)">
          <Icon d={kIcons.minus} />
        </button>
        <button type="button" class="quiet" onClick={() => view.fit(view.selected.value)} aria-label="Fit the selected span" title="Fit the selected span (f)">
          <Icon d={kIcons.fit} />
        </button>
        <button type="button" onClick={() => view.show_all()} disabled={view.full.value} title="Show the whole time (0)">
          All
        </button>
      </>
  );
}

function Views(props: { view: ViewState }) {
  const { view } = props;
  return (
    <div class="segmented" role="group" aria-label="View">
      {kTraceViews.map((name, i) => (
        <button
          key={name} type="button" aria-pressed={view.view.value === name} title={`${kViewNames[name]} (${i + 1})`}
          onClick={() => view.show(name)}
        >
          {kViewNames[name]}
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
      <button type="button" onClick={() => view.collapse_to(1)} disabled={view.trace.max_depth < 1} title="Fold to the first level; x steps through the levels">
        Fold
      </button>
      <button type="button" onClick={() => view.unfold_all()} disabled={all_open || view.reduce.value !== 'all'} title="Show every row">
        Unfold all
      </button>
      <label class="reduce">
        <span class="visually-hidden">Show</span>
        <select value={view.reduce.value} onChange={(e) => view.set_reduce(e.currentTarget.value as Reduce)}>
          {kReductions.map((reduce) => (
            <option key={reduce} value={reduce} disabled={reduce === 'matches' && !view.find.value.trim()}>
              {kReduceNames[reduce]}
            </option>
          ))}
        </select>
      </label>
      {!all_open && <span class="muted small fold-count">{count(rows)} of {count(view.trace.n)} rows</span>}
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
        Export
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
                  item.make().catch((error: Error) => announce(`the file could not be made: ${error.message}`));
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
