import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { dark, look, narrow } from '../../state/app.ts';
import type { Zoomable } from './keys.ts';
import type { ViewState } from './view_state.ts';
import { Waterfall } from './waterfall.ts';

export function WaterfallView(props: { view: ViewState; zoomable: { current: Zoomable | null }; name_width: { readonly value: number }; open: () => void }) {
  const { view } = props;
  const host = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!host.current) return;
    const fall = new Waterfall(host.current, view.trace, {
      select: (row, how) => {
        view.select(row);
        if (how === 'pointer') props.open();
      },
      toggle: (row) => view.toggle(row),
      window: (from, to) => view.set_window(from, to),
      fit: (row) => view.fit(row),
    }, dark.peek());
    props.zoomable.current = fall;
    (window as { spanloom_waterfall?: Waterfall }).spanloom_waterfall = fall;
    const stops = [
      effect(() => fall.set_layout(props.name_width.value, narrow.value)),
      effect(() => fall.set_rows(view.rows.value, view.collapsed.value)),
      effect(() => fall.set_gaps(view.short_gaps.value ? view.gaps.value : [])),
      effect(() => {
        fall.set_selected(view.selected.value);
        fall.scroll_to(view.selected.value);
      }),
      effect(() => {
        const at = view.match_at.value;
        fall.set_matches(view.match_mask.value, at >= 0 ? view.matches.value[at] : -1);
      }),
      effect(() => fall.set_window(view.window.value[0], view.window.value[1])),
      effect(() => {
        const is_dark = look.value.dark;
        // The tokens of the new theme are in force after the attribute has been written.
        queueMicrotask(() => fall.set_theme(is_dark));
      }),
    ];
    const first = requestAnimationFrame(() => {
      fall.scroll_to(view.selected.value);
      if (document.activeElement === document.body) fall.scroller.focus({ preventScroll: true });
    });
    return () => {
      cancelAnimationFrame(first);
      for (const stop of stops) stop();
      fall.destroy();
      props.zoomable.current = null;
      delete (window as { spanloom_waterfall?: Waterfall }).spanloom_waterfall;
    };
  }, [view]);

  return <div class="waterfall" ref={host} />;
}
