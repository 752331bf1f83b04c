import { count, duration } from '../../model/format.ts';
import { TimeScale } from '../../model/gaps.ts';
import { announce, dark } from '../../state/app.ts';
import { bar_of } from './bars.ts';
import { read_paint, slot_color } from './paint.ts';
import type { ViewState } from './view_state.ts';
import * as texts from '../../texts/texts.ts';

/** A picture holds so many rows; more are said to be left out, in the picture. */
const kPictureRows = 400;
const kRow = 22;
const kNames = 360;
const kAxis = 900;

export type ExportItem = { name: string; href: string; file: string } | { name: string; make: () => Promise<void> };

/** What can be taken along: the trace as other systems read it, and the rows as they are shown. */
export function exports_of(view: ViewState): ExportItem[] {
  const file = `trace-${view.id}`;
  const stored: ExportItem[] = [
    { name: texts.trace.otlp_json, href: `/tempo/api/v2/traces/${view.id}`, file: `${file}.otlp.json` },
    { name: texts.trace.jaeger_json, href: `/jaeger/api/traces/${view.id}`, file: `${file}.jaeger.json` },
  ];
  return [
    ...(view.source.is_stored ? stored : []),
    { name: texts.trace.picture_svg, make: async () => save(new Blob([svg_of(view)], { type: 'image/svg+xml' }), `${file}.svg`) },
    { name: texts.trace.picture_png, make: async () => save(await png_of(svg_of(view)), `${file}.png`) },
  ];
}

/** Makes the file, and says so where it cannot be made. */
export async function take_along(item: ExportItem): Promise<void> {
  if ('href' in item) return download(item.href, item.file);
  await item.make().catch((error: Error) => announce(texts.trace.the_file_could_not_be_made(error.message)));
}

function download(href: string, name: string): void {
  const link = document.createElement('a');
  link.href = href;
  link.download = name;
  link.click();
}

function save(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  download(href, name);
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

const escape = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '\ufffd').replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

/** The rows of the waterfall that are shown, folds and window as they are. */
export function svg_of(view: ViewState): string {
  const { trace } = view;
  const paint = read_paint(dark.peek());
  const rows = view.rows.peek();
  const shown = rows.subarray(0, kPictureRows);
  const collapsed = view.collapsed.peek();
  const [from, to] = view.window.peek();
  const scale = new TimeScale(from, to, kAxis, view.short_gaps.peek() ? view.gaps.peek() : []);
  const height = (shown.length + 3) * kRow;
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${kNames + kAxis + 100}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="${paint.surface}"/>`,
    `<text x="12" y="18" fill="${paint.text}" font-weight="600">${escape(`${trace.service_of(0)} ${trace.name_of(0)}  ${duration(trace.duration)}  ${view.id}`)}</text>`,
  ];
  shown.forEach((row, i) => {
    const y = (i + 1.5) * kRow;
    const label = duration(trace.dur[row]);
    const bar = bar_of(trace, row, { scale, margin: 90 }, collapsed[row] === 1, label, label.length * 6.2);
    const name = `${trace.is_error(row) ? '✕ ' : ''}${trace.service_of(row)}  ${trace.name_of(row)}`;
    const indent = Math.min(160, trace.depth[row] * 12);
    const letters = Math.floor((kNames - 24 - indent) / 6.4);
    const cut = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
    out.push(`<text x="${12 + indent}" y="${y + 14}" fill="${trace.is_error(row) ? paint.error : paint.text}">${escape(cut)}</text>`);
    if (bar.outside) return;
    out.push(`<rect x="${(kNames + bar.x).toFixed(1)}" y="${y + 4}" width="${bar.width.toFixed(1)}" height="13" rx="3" fill="${slot_color(paint, bar.slot)}"${bar.error ? ` stroke="${paint.error}"` : ''}/>`);
    out.push(`<text x="${(kNames + bar.label_x).toFixed(1)}" y="${y + 14}" fill="${bar.label_inside ? '#fff' : paint.muted}" font-size="11">${label}</text>`);
  });
  if (rows.length > shown.length) {
    out.push(`<text x="12" y="${height - 10}" fill="${paint.muted}">${escape(texts.trace.and_more_rows(count(rows.length - shown.length)))}</text>`);
  }
  out.push('</svg>');
  return out.join('\n');
}

async function png_of(svg: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = image.width * 2;
  canvas.height = image.height * 2;
  const context = canvas.getContext('2d');
  if (!context) throw new Error(texts.trace.this_browser_does_not_draw_on);
  context.scale(2, 2);
  context.drawImage(image, 0, 0);
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(texts.trace.the_picture_is_too_large_for))), 'image/png'));
}
