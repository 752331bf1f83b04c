import type { SpanRow } from '../api/types.ts';
import type { FileSpan } from './file_spans.ts';
import type { Skeleton } from './slt1.ts';
import { kFlagCritical, kFlagError, kFlagEvents, kFlagLinks, kFlagOrphan, kFlagUnended } from './trace.ts';

const kKinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

/** A trace of a file in the form the server would have sent it: rows in depth-first pre-order, siblings by start. */
export interface FileTrace {
  id: string;
  skeleton: Skeleton;
  rows: SpanRow[];
}

/** The traces of a file, the largest first. */
export function traces_of(spans: readonly FileSpan[]): FileTrace[] {
  const groups = new Map<string, FileSpan[]>();
  for (const span of spans) {
    const group = groups.get(span.trace_id);
    if (group) group.push(span);
    else groups.set(span.trace_id, [span]);
  }
  return [...groups].map(([id, group]) => trace_of(id, group)).sort((a, b) => b.rows.length - a.rows.length || (a.id < b.id ? -1 : 1));
}

function trace_of(id: string, spans: FileSpan[]): FileTrace {
  const order = spans.map((span, i) => ({ span, i, start: BigInt(span.start_ns) })).sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : a.i - b.i));
  const { parents, preorder } = arrange(order.map((entry) => entry.span));
  const sorted = order.map((entry) => entry.span);
  const t0 = order[0].start;
  const n = sorted.length;
  const names = new Intern();
  const services = new Intern();
  const resources = new Intern();
  const resource_list: { service: number; label: string }[] = [];
  const skeleton: Skeleton = {
    header: {
      v: 1, n, traceId: id, t0: String(t0), dur: 0, services: services.list, names: names.list, resources: resource_list, sel: -1, complete: true, missingParents: 0,
      skew: [], weight: 1, keptBy: '', findings: [], cols: [],
    },
    start: new Float64Array(n), dur: new Float64Array(n), up: new Uint32Array(n), name: new Uint32Array(n), res: new Uint32Array(n), flags: new Uint32Array(n),
  };
  const row_of = new Uint32Array(n);
  preorder.forEach((at, row) => (row_of[at] = row));
  const absolute = new Float64Array(n);
  preorder.forEach((at, row) => {
    const span = sorted[at];
    const parent = parents[at] < 0 ? -1 : row_of[parents[at]];
    absolute[row] = Number(BigInt(span.start_ns) - t0);
    const length = Number(BigInt(span.end_ns) - BigInt(span.start_ns));
    skeleton.start[row] = absolute[row] - (parent < 0 ? 0 : absolute[parent]);
    skeleton.dur[row] = Math.max(0, length);
    skeleton.up[row] = parent < 0 ? 0 : row - parent;
    skeleton.name[row] = names.of(span.name);
    const service = services.of(span.service);
    const known = resource_list.length;
    skeleton.res[row] = resources.of(JSON.stringify([span.service, instance_of(span)]));
    if (skeleton.res[row] === known) resource_list.push({ service, label: instance_of(span) });
    const orphan = parent < 0 && span.parent_span_id !== '';
    if (orphan) skeleton.header.missingParents++;
    skeleton.flags[row] =
      (span.status.code === 'error' ? kFlagError : 0) | (Math.max(0, kKinds.indexOf(span.kind)) << 1) | (span.events.length ? kFlagEvents : 0) | (span.links.length ? kFlagLinks : 0) |
      (orphan ? kFlagOrphan : 0) | (length < 0 || span.end_ns === '0' ? kFlagUnended : 0);
    skeleton.header.dur = Math.max(skeleton.header.dur, absolute[row] + skeleton.dur[row]);
  });
  mark_critical(skeleton, absolute);
  return { id, skeleton, rows: preorder.map((at, row) => ({ ...sorted[at], row })) };
}

function instance_of(span: FileSpan): string {
  const value = (key: string): string => String(span.resource.attributes.find((item) => item.key === key)?.value ?? '');
  return value('service.instance.id') || value('host.name');
}

class Intern {
  readonly list: string[] = [];
  private readonly known = new Map<string, number>();
  of(value: string): number {
    let at = this.known.get(value);
    if (at === undefined) {
      at = this.list.length;
      this.known.set(value, at);
      this.list.push(value);
    }
    return at;
  }
}

/** Parents by span id (the first of equal ids), no cycles; and the depth-first order. Spans come sorted by start. */
function arrange(spans: readonly FileSpan[]): { parents: Int32Array; preorder: number[] } {
  const by_id = new Map<string, number>();
  spans.forEach((span, at) => {
    if (!by_id.has(span.span_id)) by_id.set(span.span_id, at);
  });
  const parents = Int32Array.from(spans, (span, at) => {
    const parent = span.parent_span_id ? by_id.get(span.parent_span_id) : undefined;
    return parent === undefined || parent === at ? -1 : parent;
  });
  cut_cycles(parents);
  const children: number[][] = spans.map(() => []);
  const roots: number[] = [];
  parents.forEach((parent, at) => (parent < 0 ? roots : children[parent]).push(at));
  const preorder: number[] = [];
  const stack = roots.reverse();
  while (stack.length) {
    const at = stack.pop() as number;
    preorder.push(at);
    for (let i = children[at].length - 1; i >= 0; i--) stack.push(children[at][i]);
  }
  return { parents, preorder };
}

function cut_cycles(parents: Int32Array): void {
  const state = new Uint8Array(parents.length); // 1: on the way, 2: leads to a root
  for (let begin = 0; begin < parents.length; begin++) {
    const way: number[] = [];
    let at = begin;
    while (at >= 0 && state[at] === 0) {
      state[at] = 1;
      way.push(at);
      at = parents[at];
    }
    if (at >= 0 && state[at] === 1) parents[at] = -1;
    for (const step of way) state[step] = 2;
  }
}

/** From the end of the first root backwards: the child that ended last before the moment is what the trace waited for. */
function mark_critical(skeleton: Skeleton, start: Float64Array): void {
  const { up, dur, flags, header } = skeleton;
  const children: number[][] = Array.from({ length: header.n }, () => []);
  for (let row = 0; row < header.n; row++) if (up[row]) children[row - up[row]].push(row);
  const stack: [number, number][] = header.n ? [[0, start[0] + dur[0]]] : [];
  while (stack.length) {
    const [row, until] = stack.pop() as [number, number];
    flags[row] |= kFlagCritical;
    let moment = Math.min(until, start[row] + dur[row]);
    for (const child of children[row].sort((a, b) => start[b] + dur[b] - start[a] - dur[a])) {
      // Work that outlives its parent was not waited for.
      if (start[child] + dur[child] > moment) continue;
      stack.push([child, moment]);
      moment = start[child];
    }
  }
}
