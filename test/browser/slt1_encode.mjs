// Writes SLT1 skeletons for tests: the other half of web/src/model/slt1.ts.

const widths = { u8: 1, u16: 2, u32: 4 };

/** Encodes values (numbers >= 0 and < 2^(8*width)) as a column of the given type. */
function column_bytes(values, type, shuffle) {
  const width = widths[type];
  const n = values.length;
  const out = new Uint8Array(n * width);
  for (let i = 0; i < n; i++) {
    let value = values[i];
    for (let plane = 0; plane < width; plane++) {
      out[shuffle ? plane * n + i : i * width + plane] = value % 256;
      value = Math.floor(value / 256);
    }
  }
  return out;
}

/**
 * rows: depth-first pre-order, each {start (ns after the parent's start, or after t0 for roots), dur, up, name, res, flags}.
 * Times may be any safe integer; negative starts make the signed form.
 */
export function encode_slt1(head, rows, { shuffle = true } = {}) {
  const two32 = 4294967296;
  const signed = rows.some((r) => r.start < 0);
  const large = (key) => rows.some((r) => Math.abs(r[key]) >= (key === 'start' && signed ? two32 / 2 : two32));
  const columns = [];
  const add = (k, values, t, enc = shuffle && widths[t] > 1 ? 'shuffle' : 'raw') => columns.push({ k, values, t, enc });
  const time = (key) => {
    const is_signed = key === 'start' && signed;
    const high = large(key);
    const high_type = rows.some((r) => Math.abs(r[key]) >= two32 * (is_signed ? 128 : 256)) ? 'u16' : 'u8';
    const full = high ? two32 * (high_type === 'u16' ? 65536 : 256) : two32;
    const raw = rows.map((r) => (r[key] < 0 ? r[key] + full : r[key]));
    add(key, raw.map((v) => v % two32), 'u32');
    if (high) add(`${key}_hi`, raw.map((v) => Math.floor(v / two32)), high_type);
  };
  time('start');
  time('dur');
  add('up', rows.map((r) => r.up), 'u32');
  add('name', rows.map((r) => r.name), head.names.length > 65535 ? 'u32' : 'u16');
  add('res', rows.map((r) => r.res), head.resources.length > 255 ? 'u16' : 'u8');
  add('flags', rows.map((r) => r.flags), 'u16');

  const header = {
    v: 1, n: rows.length, sel: -1, complete: true, missingParents: 0, skew: [], weight: 1, keptBy: '', findings: [], ...head,
    ...(signed ? { signed: true } : {}),
    cols: columns.map(({ k, t, enc }) => ({ k, t, enc, off: 0, n: rows.length })),
  };
  const align = (value) => (value + 7) & ~7;
  // Offsets are in the header, whose length depends on them: one fixed width for all settles it.
  const header_text = () => new TextEncoder().encode(JSON.stringify(header));
  let header_length = align(header_text().length + columns.length * 10);
  let at = 8 + header_length;
  columns.forEach((column, i) => {
    header.cols[i].off = at;
    column.bytes = column_bytes(column.values, column.t, column.enc === 'shuffle');
    at = align(at + column.bytes.length);
  });
  const text = header_text();
  const out = new Uint8Array(at);
  out.fill(32, 8, 8 + header_length);
  out.set(text, 8);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x31544c53, true);
  view.setUint32(4, header_length, true);
  columns.forEach((column, i) => out.set(column.bytes, header.cols[i].off));
  return out;
}
