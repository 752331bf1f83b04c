import { letter_keys, open_dialog } from '../state/app.ts';
import { Icon, kIcons } from './bits.tsx';
import { Dialog } from './dialog.tsx';
import * as texts from '../texts/texts.ts';

const kGroups: { title: string; keys: [string, string][] }[] = [
  {
    title: texts.frame.everywhere,
    keys: [['Ctrl+K', texts.frame.go_to_a_page_or_a_trace_id], ['g h', texts.frame.home], ['g s', texts.frame.search], ['g m', texts.frame.map], ['g e', texts.frame.errors], ['g d', texts.frame.databases], ['g c', texts.frame.compare], ['g p', texts.frame.sampling], ['g l', texts.frame.live], ['g o', texts.frame.settings], ['t', texts.frame.light_or_dark], ['?', texts.frame.this_help], ['Esc', texts.frame.one_step_back_out]],
  },
  {
    title: texts.frame.search,
    keys: [['/', texts.frame.to_the_query_line], ['Enter', texts.frame.search], ['j k', texts.frame.next_previous_result], ['b', texts.frame.to_the_heatmap_enter_chooses_the]],
  },
  {
    title: texts.frame.rows_of_a_trace,
    keys: [
      ['j k ↓ ↑', texts.frame.next_previous_row], ['h l ← →', texts.frame.fold_unfold_to_the_parent_to], ['Space', texts.frame.fold_or_unfold],
      ['PgUp PgDn', texts.frame.a_page_up_down], ['Home End', texts.frame.first_last_row], ['Enter', texts.frame.details_of_the_span], ['x', texts.frame.next_level_of_folding],
    ],
  },
  {
    title: texts.frame.find_in_a_trace,
    keys: [['/', texts.frame.find_text], ['n N', texts.frame.next_previous_match], ['e E', texts.frame.next_previous_error], ['p', texts.frame.next_span_of_the_critical_path], ['[ ]', texts.frame.previous_next_result_of_the_search]],
  },
  {
    title: texts.frame.time_in_a_trace,
    keys: [['w s', texts.frame.zoom_in_out], ['a d', texts.frame.earlier_later], ['f', texts.frame.fit_the_selected_span], ['0', texts.frame.whole_trace], ['Ctrl+wheel', texts.frame.zoom_at_the_pointer], ['Shift+wheel', texts.frame.earlier_later]],
  },
  {
    title: texts.frame.views_of_a_trace,
    keys: [['1 2 3 4 5', texts.frame.waterfall_flame_graph_table_log], ['m', texts.frame.flame_join_equal_operations], ['↑ ↓ ← →', texts.frame.flame_to_the_parent_the_first]],
  },
  { title: texts.frame.take_with_you, keys: [['c', texts.frame.copy_a_link_to_the_span], ['y', texts.frame.copy_the_span_id]] },
];

export function Help() {
  const close = (): void => {
    open_dialog.value = 'none';
  };
  return (
    <Dialog label={texts.frame.keys} class="help" close={close}>
      <header>
        <h2>{texts.frame.keys}</h2>
        <button type="button" class="quiet" onClick={close} aria-label={texts.frame.close} autofocus>
          <Icon d={kIcons.close} />
        </button>
      </header>
      <div class="help-groups">
        {kGroups.map((group) => (
          <section key={group.title}>
            <h3>{group.title}</h3>
            <dl>
              {group.keys.map(([keys, what]) => (
                <div key={keys}>
                  <dt>
                    {keys.split(' ').map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label class="check">
        <input type="checkbox" checked={letter_keys.value} onChange={(e) => (letter_keys.value = e.currentTarget.checked)} />
        <span>{texts.frame.keys_of_a_single_letter_are}</span>
      </label>
    </Dialog>
  );
}
