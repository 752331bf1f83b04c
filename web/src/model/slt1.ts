import * as texts from '../texts/texts.ts';

// SLT1: the columns of one trace, little-endian, rows in depth-first pre-order (docs: reference of the wire format in the server's api folder).

export interface Finding {
  rule: string;
  message: string;
  rows: number[];
  /** By how much, where it is about time. */
  ns?: string;
}

export interface SkeletonHeader {
  v: number;
  n: number;
  traceId: string;
  t0: string;
  dur: number;
  services: string[];
  names: string[];
  resources: { service: number; label: string }[];
  sel: number;
  complete: boolean;
  missingParents: number;
  skew: { service: number; ns: number }[];
  weight: number;
  keptBy: string;
  findings: Finding[];
  signed?: boolean;
  cols: Column[];
}

interface Column {
  k: string;
  t: string;
  enc: string;
  off: number;
  n: number;
}

export interface Skeleton {
  header: SkeletonHeader;
  /** ns after the parent's start; roots and orphans: after t0. */
  start: Float64Array;
  dur: Float64Array;
  up: Uint32Array;
  name: Uint32Array;
  res: Uint32Array;
  flags: Uint32Array;
}

export class SkeletonError extends Error {}

const kMagic = 0x31544c53; // 'SLT1'
const kTwo32 = 4294967296;

function width_of(type: string): number {
  const match = /^[ui](8|16|32)s?$/.exec(type);
  if (!match) throw new SkeletonError(texts.model.column_type_is_unknown(JSON.stringify(type)));
  return Number(match[1]) / 8;
}

/** Reads a column into unsigned values. Works for any byte order of the machine and any alignment. */
function read_column(bytes: Uint8Array, column: Column, n: number): Uint32Array {
  const width = width_of(column.t);
  if (column.n !== n) throw new SkeletonError(texts.model.column_has_other_rows(column.k, column.n, n));
  if (!(column.off >= 0) || column.off + n * width > bytes.length) {
    throw new SkeletonError(texts.model.column_reaches_past_the_end(column.k));
  }
  const out = new Uint32Array(n);
  const at = column.off;
  if (column.enc === 'shuffle') {
    const [a, b, c, d] = [0, 1, 2, 3].map((plane) => bytes.subarray(at + plane * n, at + (plane + 1) * n));
    if (width === 1) out.set(a);
    else if (width === 2) for (let i = 0; i < n; i++) out[i] = a[i] | (b[i] << 8);
    else for (let i = 0; i < n; i++) out[i] = a[i] | (b[i] << 8) | (c[i] << 16) | (d[i] << 24);
    return out;
  }
  if (column.enc !== 'raw') throw new SkeletonError(texts.model.column_encoding_is_unknown(column.k, column.enc));
  if (width === 1) {
    out.set(bytes.subarray(at, at + n));
  } else if (width === 2) {
    for (let i = 0, p = at; i < n; i++, p += 2) out[i] = bytes[p] | (bytes[p + 1] << 8);
  } else {
    for (let i = 0, p = at; i < n; i++, p += 4) {
      out[i] = (bytes[p] | (bytes[p + 1] << 8) | (bytes[p + 2] << 16) | (bytes[p + 3] << 24)) >>> 0;
    }
  }
  return out;
}

/** Joins low and high words; with `signed` the joined value is two's complement. */
function join_words(low: Uint32Array, high: Uint32Array | null, high_bits: number, signed: boolean): Float64Array {
  const n = low.length;
  const out = new Float64Array(n);
  const full = 2 ** high_bits;
  if (!high) {
    if (signed) for (let i = 0; i < n; i++) out[i] = low[i] | 0;
    else out.set(low);
    return out;
  }
  for (let i = 0; i < n; i++) {
    // The sign is taken from the high word alone, so that small negative values stay exact at any width.
    const top = signed && high[i] >= full / 2 ? high[i] - full : high[i];
    out[i] = top * kTwo32 + low[i];
  }
  return out;
}

export function decode_skeleton(buffer: ArrayBuffer): Skeleton {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 8) throw new SkeletonError(texts.model.the_answer_is_too_short_to);
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== kMagic) throw new SkeletonError(texts.model.the_answer_is_not_a_trace);
  const header_length = view.getUint32(4, true);
  if (8 + header_length > bytes.length) throw new SkeletonError(texts.model.the_header_reaches_past_the_end);
  let end = 8 + header_length;
  while (end > 8 && (bytes[end - 1] === 0 || bytes[end - 1] === 32)) end--;
  let header: SkeletonHeader;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, end))) as SkeletonHeader;
  } catch {
    throw new SkeletonError(texts.model.the_header_is_not_valid_json);
  }
  if (header.v !== 1) throw new SkeletonError(texts.model.version_is_newer(header.v));
  const columns = new Map(header.cols.map((column) => [column.k, column]));
  const need = (key: string): Uint32Array => {
    const column = columns.get(key);
    if (!column) throw new SkeletonError(texts.model.column_is_missing(key));
    return read_column(bytes, column, header.n);
  };
  const time = (key: string, signed: boolean): Float64Array => {
    const high = columns.get(`${key}_hi`);
    return join_words(need(key), high ? need(`${key}_hi`) : null, high ? width_of(high.t) * 8 : 0, signed);
  };
  const skeleton: Skeleton = {
    header,
    start: time('start', header.signed === true),
    dur: time('dur', false),
    up: need('up'),
    name: need('name'),
    res: need('res'),
    flags: need('flags'),
  };
  check_ranges(skeleton);
  return skeleton;
}

function check_ranges(skeleton: Skeleton): void {
  const { header, up, name, res } = skeleton;
  for (let i = 0; i < header.n; i++) {
    if (up[i] > i) throw new SkeletonError(texts.model.row_parent_is_wrong(i));
    if (name[i] >= header.names.length) throw new SkeletonError(texts.model.row_name_is_wrong(i));
    if (res[i] >= header.resources.length) throw new SkeletonError(texts.model.row_resource_is_wrong(i));
  }
  for (const resource of header.resources) {
    if (!(resource.service >= 0 && resource.service < header.services.length)) {
      throw new SkeletonError(texts.model.resource_service_is_wrong);
    }
  }
}
