import { collapse_below, first_folds, fold_similar, type Trace } from './trace.ts';

// Which rows of a trace are folded, short enough for its URL: what is nearest of a few usual states, and the rows that differ from it.

/** More than this would make links that mail programs and proxies cut. */
const kTextMax = 1_500;

/** By the letter that the text begins with: as at first, nothing, similar siblings, and what is below a depth. */
const kBases: readonly [string, (trace: Trace) => Uint8Array][] = [
  ['f', first_folds], ['n', (trace) => new Uint8Array(trace.n)], ['s', fold_similar],
  ['0', (trace) => collapse_below(trace, 0)], ['1', (trace) => collapse_below(trace, 1)], ['2', (trace) => collapse_below(trace, 2)],
];

/** '' where the folds are those that the trace starts with, and where they are too many to say. */
export function write_folds(trace: Trace, collapsed: Uint8Array): string {
  let best = '';
  for (const [letter, base] of kBases) {
    const text = difference(base(trace), collapsed, best ? best.length - 1 : kTextMax);
    if (text === null) continue;
    if (text === '') return letter === 'f' ? '' : letter;
    best = letter + text;
  }
  return best;
}

/** null where the text is not one of this trace. */
export function read_folds(trace: Trace, text: string): Uint8Array | null {
  const base = kBases.find(([letter]) => letter === text[0]);
  if (!base) return null;
  const folds = base[1](trace);
  let bytes: string;
  try {
    bytes = atob(text.slice(1).replace(/-/g, '+').replace(/_/g, '/'));
  } catch {
    return null;
  }
  let row = -1;
  for (let at = 0; at < bytes.length; ) {
    let step = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at === bytes.length || scale > 2 ** 28) return null;
      const byte = bytes.charCodeAt(at++);
      step += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    row += step + 1;
    if (row >= trace.n || !trace.foldable(row)) return null;
    folds[row] = folds[row] ? 0 : 1;
  }
  return folds;
}

/** The rows in which the two differ, as steps from one to the next; null where that is longer than `text_max`. */
function difference(a: Uint8Array, b: Uint8Array, text_max: number): string | null {
  let bytes = '';
  let before = -1;
  for (let row = 0; row < a.length; row++) {
    if (a[row] === b[row]) continue;
    let step = row - before - 1;
    before = row;
    for (; step >= 0x80; step = Math.floor(step / 128)) bytes += String.fromCharCode((step & 0x7f) | 0x80);
    bytes += String.fromCharCode(step);
    if (bytes.length * 4 > text_max * 3) return null;
  }
  const text = btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  return text.length > text_max ? null : text;
}
