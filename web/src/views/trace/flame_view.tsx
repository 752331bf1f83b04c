import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { dark, look } from '../../state/app.ts';
import { push_keys } from '../../state/keys.ts';
import { Flame } from './flame.ts';
import type { Zoomable } from './keys.ts';
import type { ViewState } from './view_state.ts';

export function FlameView(props: { view: ViewState; zoomable: { current: Zoomable | null }; open: () => void }) {
  const { view } = props;
  const host = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!host.current) return;
    const flame = new Flame(host.current, view.trace, {
      select: (row) => {
        view.select(row);
        props.open();
      },
      window: (from, to) => view.set_window(from, to),
    }, dark.peek());
    props.zoomable.current = flame;
    (window as { spanloom_flame?: Flame }).spanloom_flame = flame;
    const stops = [
      effect(() => flame.set_merged(view.merged.value)),
      effect(() => flame.set_window(view.window.value[0], view.window.value[1])),
      effect(() => flame.set_gaps(view.short_gaps.value ? view.gaps.value : [])),
      effect(() => flame.set_matches(view.match_mask.value)),
      effect(() => flame.set_selected(view.selected.value)),
      effect(() => {
        const is_dark = look.value.dark;
        queueMicrotask(() => flame.set_theme(is_dark));
      }),
    ];
    const walk = (go: () => void) => (event: KeyboardEvent): void => {
      if (event.target !== flame.scroller) return;
      event.preventDefault();
      go();
    };
    const pop = push_keys({
      m: (event) => {
        event.preventDefault();
        view.set_merged(!view.merged.value);
      },
      ArrowUp: walk(() => view.select(view.trace.parent[view.selected.value])),
      ArrowDown: walk(() => view.trace.children[view.selected.value] > 0 && view.select(view.selected.value + 1)),
      ArrowLeft: walk(() => view.select(flame.neighbour(view.selected.value, -1))),
      ArrowRight: walk(() => view.select(flame.neighbour(view.selected.value, 1))),
    });
    if (document.activeElement === document.body) flame.scroller.focus({ preventScroll: true });
    return () => {
      pop();
      for (const stop of stops) stop();
      flame.destroy();
      props.zoomable.current = null;
      delete (window as { spanloom_flame?: Flame }).spanloom_flame;
    };
  }, [view]);

  return <div class="flame" ref={host} />;
}
