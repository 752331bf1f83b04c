import { type Box, read_box, write_box } from './heat.ts';
import { kReductions, type Reduce } from './reduce.ts';

// The state of every page is in its URL. Defaults are left out; unknown parameters are kept and ignored.

export const kSearchViews = ['heat', 'scatter', 'list'] as const;
export type SearchView = (typeof kSearchViews)[number];

export interface SearchState {
  q: string;
  from: string;
  to: string;
  view: SearchView;
  /** The part of the heatmap that is chosen. */
  box: Box | null;
  /** Whether results are lines of a table, with which columns, sorted by which (with - before it: the largest first). */
  table: boolean;
  columns: string;
  sort: string;
}

export const kTraceViews = ['waterfall', 'flame', 'graph', 'table', 'log'] as const;
export type TraceView = (typeof kTraceViews)[number];

export interface TraceState {
  span: string;
  /** Window in ns after the start of the trace, or null for all of it. */
  window: [number, number] | null;
  find: string;
  view: TraceView;
  reduce: Reduce;
  /** Whether idle gaps of the time axis are drawn short. */
  gaps: boolean;
  /** Whether the flame joins what has the same operations above it. */
  merged: boolean;
  /** What the table groups by, and the column it is sorted by (with - before it: the largest first). */
  by: string;
  sort: string;
  /** Which rows are folded (folds.ts); '': as at first. */
  folds: string;
  /** Services that the graph shows the operations of. */
  into: string[];
  /** Whether times are shown with the clocks of the processes set right. */
  clocks: boolean;
}

export function read_search(params: URLSearchParams): SearchState {
  return {
    q: params.get('q') ?? '',
    from: params.get('from') ?? 'now-1h',
    to: params.get('to') ?? 'now',
    view: one_of(kSearchViews, params.get('v'), 'heat'),
    box: read_box(params.get('box')),
    table: params.get('rows') === 'table',
    columns: params.get('cols') ?? '',
    sort: params.get('sort') ?? '',
  };
}

function set(params: URLSearchParams, key: string, value: string, fallback: string): void {
  if (value === fallback) params.delete(key);
  else params.set(key, value);
}

export function write_search(state: SearchState, before = new URLSearchParams()): URLSearchParams {
  const params = new URLSearchParams(before);
  set(params, 'q', state.q, '');
  set(params, 'from', state.from, 'now-1h');
  set(params, 'to', state.to, 'now');
  set(params, 'v', state.view, 'heat');
  set(params, 'box', write_box(state.box), '');
  set(params, 'rows', state.table ? 'table' : '', '');
  set(params, 'cols', state.columns, '');
  set(params, 'sort', state.sort, '');
  return params;
}

export function read_trace(params: URLSearchParams): TraceState {
  const span = (params.get('span') ?? '').toLowerCase();
  const match = /^(-?\d{1,18})-(-?\d{1,18})$/.exec(params.get('t') ?? '');
  const window: [number, number] | null = match && Number(match[1]) < Number(match[2]) ? [Number(match[1]), Number(match[2])] : null;
  return {
    span: /^[0-9a-f]{16}$/.test(span) ? span : '',
    window,
    find: params.get('find') ?? '',
    view: one_of(kTraceViews, params.get('v'), 'waterfall'),
    reduce: one_of(kReductions, params.get('reduce'), 'all'),
    gaps: params.get('gaps') !== '0',
    merged: params.get('flame') === 'merged',
    by: params.get('by') ?? 'operation',
    sort: params.get('sort') ?? '-self',
    folds: params.get('open') ?? '',
    into: (params.get('into') ?? '').split(',').filter(Boolean).map(decode),
    clocks: params.get('clocks') === 'corrected',
  };
}

export function write_trace(state: TraceState, before = new URLSearchParams()): URLSearchParams {
  const params = new URLSearchParams(before);
  set(params, 'span', state.span, '');
  set(params, 't', state.window ? `${Math.round(state.window[0])}-${Math.round(state.window[1])}` : '', '');
  set(params, 'find', state.find, '');
  set(params, 'v', state.view, 'waterfall');
  set(params, 'reduce', state.reduce, 'all');
  set(params, 'gaps', state.gaps ? '1' : '0', '1');
  set(params, 'flame', state.merged ? 'merged' : '', '');
  set(params, 'by', state.by, 'operation');
  set(params, 'sort', state.sort, '-self');
  set(params, 'open', state.folds, '');
  set(params, 'into', state.into.map(encodeURIComponent).join(','), '');
  set(params, 'clocks', state.clocks ? 'corrected' : '', '');
  return params;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function one_of<T extends string>(known: readonly T[], value: string | null, fallback: T): T {
  return known.find((entry) => entry === value) ?? fallback;
}

export function with_query(path: string, params: URLSearchParams): string {
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

/** A TraceQL string literal. */
export function quote(text: string): string {
  return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replace(/\r/g, '\\r')}"`;
}

/** A TraceQL attribute: quoted when it has characters that would end it. */
export function attribute(scope: string, key: string): string {
  return /^[A-Za-z_][\w.\-/]*$/.test(key) ? `${scope}${key}` : `${scope}${quote(key)}`;
}

const kTraceId = /^[0-9a-f]{32}$/i;

/** The trace id in pasted text: 32 hex digits alone, with dashes, in a traceparent or in a trace URL. */
export function trace_id_in(text: string): string | null {
  const value = text.trim();
  if (kTraceId.test(value)) return value.toLowerCase();
  const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/i.exec(value);
  if (parent) return parent[1].toLowerCase();
  const url = /\/trace\/([0-9a-f]{32})(?![0-9a-f])/i.exec(value);
  if (url) return url[1].toLowerCase();
  const bare = value.replace(/-/g, '');
  return kTraceId.test(bare) && /^[0-9a-f]{8}-/i.test(value) ? bare.toLowerCase() : null;
}
