import { letter_keys, open_dialog } from '../state/app.ts';
import { Icon, kIcons } from './bits.tsx';
import { Dialog } from './dialog.tsx';

const kGroups: { title: string; keys: [string, string][] }[] = [
  {
    title: 'Everywhere',
    keys: [['Ctrl+K', 'Go to a page, a service or a trace id'], ['g h', 'Home'], ['g s', 'Search'], ['g m', 'Map'], ['g e', 'Errors'], ['g d', 'Databases'], ['g c', 'Compare'], ['g p', 'Sampling'], ['g l', 'Live'], ['g o', 'Settings'], ['t', 'Light or dark'], ['?', 'This help'], ['Esc', 'One step back out']],
  },
  {
    title: 'Search',
    keys: [['/', 'To the query line'], ['Enter', 'Search'], ['j k', 'Next, previous result'], ['b', 'To the heatmap: Enter chooses the slow part, arrows move it']],
  },
  {
    title: 'Rows of a trace',
    keys: [
      ['j k ↓ ↑', 'Next, previous row'], ['h l ← →', 'Fold, unfold; to the parent, to the first child'], ['Space', 'Fold or unfold'],
      ['PgUp PgDn', 'A page up, down'], ['Home End', 'First, last row'], ['Enter', 'Details of the span'], ['x', 'Next level of folding'],
    ],
  },
  {
    title: 'Find in a trace',
    keys: [['/', 'Find text'], ['n N', 'Next, previous match'], ['e E', 'Next, previous error'], ['p', 'Next span of the critical path'], ['[ ]', 'Previous, next result of the search']],
  },
  {
    title: 'Time in a trace',
    keys: [['w s', 'Zoom in, out'], ['a d', 'Earlier, later'], ['f', 'Fit the selected span'], ['0', 'Whole trace'], ['Ctrl+wheel', 'Zoom at the pointer'], ['Shift+wheel', 'Earlier, later']],
  },
  {
    title: 'Views of a trace',
    keys: [['1 2 3 4 5', 'Waterfall, flame, graph, table, log'], ['m', 'Flame: join equal operations'], ['↑ ↓ ← →', 'Flame: to the parent, the first child, the siblings']],
  },
  { title: 'Take with you', keys: [['c', 'Copy a link to the span'], ['y', 'Copy the span id']] },
];

export function Help() {
  const close = (): void => {
    open_dialog.value = 'none';
  };
  return (
    <Dialog label="Keys" class="help" close={close}>
      <header>
        <h2>Keys</h2>
        <button type="button" class="quiet" onClick={close} aria-label="Close" autofocus>
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
        <span>Keys of a single letter are on</span>
      </label>
    </Dialog>
  );
}
