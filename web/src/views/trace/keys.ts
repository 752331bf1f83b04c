import { kTraceViews } from '../../model/url.ts';
import { kFlagCritical } from '../../model/trace.ts';
import { announce } from '../../state/app.ts';
import { neighbour } from '../../state/results.ts';
import { go } from '../../state/router.ts';
import { copy_text } from '../../widgets/copy.tsx';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

/** A picture with a time axis. */
export interface Zoomable {
  readonly scroller: HTMLElement;
  zoom(factor: number): void;
  pan(share: number): void;
  page_rows?(): number;
}

type Handler = (event: KeyboardEvent) => void;

/** Keys of the rows work when the focus is on the rows or nowhere; in the panel the arrows scroll it. */
function in_rows(event: KeyboardEvent): boolean {
  const target = event.target;
  return !(target instanceof Element) || target === document.body || target.id === 'main' || target.closest('.wf-scroll') !== null;
}

/** The keys of a trace, the same ones in every view of it. */
export function keys_of(
  view: ViewState, picture: { current: Zoomable | null }, field: { current: HTMLInputElement | null }, open: () => void, close: () => void,
): Record<string, Handler> {
  const rows = (action: () => void): Handler => (event) => {
    if (!in_rows(event)) return;
    event.preventDefault();
    action();
  };
  const any = (action: () => void): Handler => (event) => {
    event.preventDefault();
    action();
  };
  const page = (): number => picture.current?.page_rows?.() ?? 20;
  const walk = (step: 1 | -1): void => {
    const next = neighbour(view.id, step);
    if (next) go(`/trace/${next}`);
    else announce(step === 1 ? texts.trace.this_is_the_last_result : texts.trace.this_is_the_first_result);
  };
  const critical = (): void => {
    const list = Array.from({ length: view.trace.n }, (_, row) => row).filter((row) => view.trace.has(row, kFlagCritical));
    view.jump(Uint32Array.from(list), 1, texts.trace.critical_path);
  };
  const escape = (event: KeyboardEvent): void => {
    event.preventDefault();
    if (view.find.value) view.set_find('');
    else if (view.reduce.value !== 'all') view.set_reduce('all');
    else if (!view.full.value) view.show_all();
    else if (view.panel.value) close();
  };
  const enter = (): void => {
    open();
    requestAnimationFrame(() => document.getElementById('detail')?.focus());
  };
  const views = Object.fromEntries(kTraceViews.map((name, i) => [String(i + 1), any(() => view.show(name))]));
  return {
    ...views,
    j: any(() => view.move(1)), k: any(() => view.move(-1)), h: any(() => view.left()), l: any(() => view.right()),
    ArrowDown: rows(() => view.move(1)), ArrowUp: rows(() => view.move(-1)),
    ArrowLeft: rows(() => view.left()), ArrowRight: rows(() => view.right()),
    Home: rows(() => view.select(0)), End: rows(() => view.select(view.rows.value[view.rows.value.length - 1])),
    PageDown: rows(() => view.move(page())), PageUp: rows(() => view.move(-page())),
    Enter: rows(enter), ' ': rows(() => view.trace.foldable(view.selected.value) && view.toggle(view.selected.value)),
    e: any(() => view.next_error(1)), E: any(() => view.next_error(-1)),
    n: any(() => view.next_match(1)), N: any(() => view.next_match(-1)), p: any(critical),
    w: any(() => picture.current?.zoom(0.6)), s: any(() => picture.current?.zoom(1 / 0.6)),
    a: any(() => picture.current?.pan(-0.2)), d: any(() => picture.current?.pan(0.2)),
    f: any(() => view.fit(view.selected.value)), 0: any(() => view.show_all()),
    '/': any(() => field.current?.select()), x: any(() => view.next_level()),
    '[': any(() => walk(-1)), ']': any(() => walk(1)),
    c: any(() => void copy_text(view.link_to_span(), texts.trace.link_to_this_span)),
    y: any(() => void copy_text(view.detail.value?.row === view.selected.value ? view.detail.value.span_id : view.id, texts.trace.id)),
    Escape: escape,
  };
}
