import type { Attribute, SpanRow } from '../api/types.ts';
import { count } from '../texts/counts.ts';
import * as texts from '../texts/texts.ts';

/** A span as it stands in a file, whatever the file's form. Times in ns. */
export type FileSpan = Omit<SpanRow, 'row'> & { trace_id: string };

export class FileError extends Error {}

type Json = Record<string, unknown>;

const kKinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const kSpansMax = 1_000_000;

const object = (value: unknown): Json => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {});
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(object) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '');

function nanoseconds(value: unknown): string {
  const found = text(value);
  return /^\d{1,20}$/.test(found) ? found : '0';
}

function nanoseconds_of_us(value: unknown): bigint {
  return typeof value === 'number' && Number.isFinite(value) ? BigInt(Math.round(value * 1000)) : BigInt(nanoseconds(value)) * 1000n;
}

/** Ids are hex of a known length; OTLP JSON of other tools has them in base64. */
function id(value: unknown, digits: number): string {
  const found = text(value);
  if (/^[0-9a-fA-F]+$/.test(found) && found.length <= digits) return found.toLowerCase().padStart(digits, '0');
  try {
    const bytes = atob(found);
    if (bytes.length * 2 === digits) return [...bytes].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  } catch {
    return '';
  }
  return '';
}

function plain(value: unknown): unknown {
  const any = object(value);
  if ('arrayValue' in any) return list(object(any.arrayValue).values).map(plain);
  if ('kvlistValue' in any) return Object.fromEntries(list(object(any.kvlistValue).values).map((entry) => [text(entry.key), plain(entry.value)]));
  return any.stringValue ?? any.intValue ?? any.doubleValue ?? any.boolValue ?? any.bytesValue ?? null;
}

function attributes(value: unknown): Attribute[] {
  return list(value).map((entry) => {
    const any = object(entry.value);
    const type = Object.keys(any)[0]?.replace('Value', '') ?? 'empty';
    return { key: text(entry.key), type, value: plain(any), cut: false };
  });
}

function attribute(key: string, value: unknown): Attribute {
  const type = typeof value === 'boolean' ? 'bool' : typeof value === 'number' ? (Number.isInteger(value) ? 'int' : 'double') : 'string';
  return { key, type, value: type === 'string' ? text(value) : value, cut: false };
}

const empty = (): FileSpan => ({
  trace_id: '', span_id: '', parent_span_id: '', name: '', kind: 'unspecified', service: '', start_ns: '0', end_ns: '0', status: { code: 'unset', message: '' },
  trace_state: '', flags: 0, attributes: [], events: [], links: [], resource: { attributes: [], schema_url: '' }, scope: { name: '', version: '', attributes: [] },
  dropped: { attributes: 0, events: 0, links: 0 },
});

const service_of = (items: Attribute[]): string => text(items.find((item) => item.key === 'service.name')?.value);

// ---- OTLP JSON, as of exporters, Collectors and Tempo ----

function of_otlp(resources: Json[]): FileSpan[] {
  const out: FileSpan[] = [];
  for (const entry of resources) {
    const resource = { attributes: attributes(object(entry.resource).attributes), schema_url: text(entry.schemaUrl) };
    for (const part of list(entry.scopeSpans ?? entry.instrumentationLibrarySpans)) {
      const wire = object(part.scope);
      const scope = { name: text(wire.name), version: text(wire.version), attributes: attributes(wire.attributes) };
      for (const span of list(part.spans)) out.push(otlp_span(span, resource, scope));
    }
  }
  return out;
}

function otlp_span(span: Json, resource: FileSpan['resource'], scope: FileSpan['scope']): FileSpan {
  const status = object(span.status);
  const code = text(status.code);
  const kind = typeof span.kind === 'string' ? span.kind.replace('SPAN_KIND_', '').toLowerCase() : (kKinds[Number(span.kind)] ?? 'unspecified');
  return {
    ...empty(), trace_id: id(span.traceId, 32), span_id: id(span.spanId, 16), parent_span_id: span.parentSpanId ? id(span.parentSpanId, 16) : '', name: text(span.name),
    kind: kKinds.includes(kind) ? kind : 'unspecified', service: service_of(resource.attributes), start_ns: nanoseconds(span.startTimeUnixNano), end_ns: nanoseconds(span.endTimeUnixNano),
    status: { code: code === '2' || code === 'STATUS_CODE_ERROR' ? 'error' : code === '1' || code === 'STATUS_CODE_OK' ? 'ok' : 'unset', message: text(status.message) },
    trace_state: text(span.traceState), flags: Number(span.flags) || 0, attributes: attributes(span.attributes), resource, scope,
    events: list(span.events).map((event) => ({ name: text(event.name), time_ns: nanoseconds(event.timeUnixNano), attributes: attributes(event.attributes) })),
    links: list(span.links).map((link) => ({ trace_id: id(link.traceId, 32), span_id: id(link.spanId, 16), trace_state: text(link.traceState), attributes: attributes(link.attributes) })),
    dropped: { attributes: Number(span.droppedAttributesCount) || 0, events: Number(span.droppedEventsCount) || 0, links: Number(span.droppedLinksCount) || 0 },
  };
}

// ---- Jaeger JSON ----

function of_jaeger(traces: Json[]): FileSpan[] {
  return traces.flatMap((trace) => list(trace.spans).map((span) => jaeger_span(span, object(trace.processes))));
}

function jaeger_span(span: Json, processes: Json): FileSpan {
  const tags = (value: unknown): Attribute[] => list(value).map((tag) => attribute(text(tag.key), tag.value));
  const found = tags(span.tags);
  const value = (key: string): unknown => found.find((tag) => tag.key === key)?.value;
  const process = object(span.process ?? processes[text(span.processID)]);
  const parent = list(span.references).find((reference) => reference.refType === 'CHILD_OF' && reference.traceID === span.traceID);
  const start = nanoseconds_of_us(span.startTime);
  const failed = value('error') === true || value('error') === 'true' || value('otel.status_code') === 'ERROR';
  const kind = text(value('span.kind'));
  return {
    ...empty(), trace_id: id(span.traceID, 32), span_id: id(span.spanID, 16), parent_span_id: parent ? id(parent.spanID, 16) : '', name: text(span.operationName),
    kind: kKinds.includes(kind) ? kind : 'internal', service: text(process.serviceName), start_ns: String(start), end_ns: String(start + nanoseconds_of_us(span.duration)),
    status: { code: failed ? 'error' : value('otel.status_code') === 'OK' ? 'ok' : 'unset', message: text(value('otel.status_description')) },
    attributes: found.filter((tag) => !['error', 'span.kind', 'otel.status_code', 'otel.status_description'].includes(tag.key)),
    events: list(span.logs).map((log) => {
      const fields = tags(log.fields);
      return { name: text(fields.find((field) => field.key === 'event')?.value), time_ns: String(nanoseconds_of_us(log.timestamp)), attributes: fields.filter((field) => field.key !== 'event') };
    }),
    links: list(span.references).filter((reference) => reference !== parent).map((reference) => ({ trace_id: id(reference.traceID, 32), span_id: id(reference.spanID, 16), trace_state: '', attributes: [] })),
    resource: { attributes: [attribute('service.name', process.serviceName), ...tags(process.tags)], schema_url: '' },
  };
}

// ---- Zipkin v2 JSON ----

function of_zipkin(spans: Json[]): FileSpan[] {
  return spans.map((span) => {
    const tags = Object.entries(object(span.tags)).map(([key, value]) => attribute(key, value));
    const service = text(object(span.localEndpoint).serviceName);
    const start = nanoseconds_of_us(span.timestamp);
    const kind = text(span.kind).toLowerCase();
    const failed = tags.find((tag) => tag.key === 'error');
    return {
      ...empty(), trace_id: id(span.traceId, 32), span_id: id(span.id, 16), parent_span_id: span.parentId ? id(span.parentId, 16) : '', name: text(span.name),
      kind: kKinds.includes(kind) ? kind : 'internal', service, start_ns: String(start), end_ns: String(start + nanoseconds_of_us(span.duration)),
      status: { code: failed ? 'error' : 'unset', message: text(failed?.value) }, attributes: tags.filter((tag) => tag !== failed),
      events: list(span.annotations).map((note) => ({ name: text(note.value), time_ns: String(nanoseconds_of_us(note.timestamp)), attributes: [] })),
      resource: { attributes: [attribute('service.name', service)], schema_url: '' },
    };
  });
}

/** The spans of a file in OTLP, Tempo, Jaeger or Zipkin JSON, or of one OTLP request per line. */
export function spans_of_file(content: string): FileSpan[] {
  const spans = parse_all(content).flatMap(spans_of_json);
  const good = spans.filter((span) => span.trace_id !== '' && span.span_id !== '');
  if (good.length === 0) throw new FileError(spans.length ? texts.model.no_span_in_it_has_a : texts.model.there_is_no_span_in_it);
  if (good.length > kSpansMax) throw new FileError(texts.model.it_has_spans_up_to_can(count(good.length), count(kSpansMax)));
  return good;
}

function parse_all(content: string): unknown[] {
  try {
    return [JSON.parse(content)];
  } catch (whole) {
    const lines = content.split('\n').filter((line) => line.trim());
    try {
      return lines.map((line) => JSON.parse(line) as unknown);
    } catch {
      throw new FileError(texts.model.it_is_not_json(whole instanceof Error ? whole.message : String(whole)));
    }
  }
}

function spans_of_json(json: unknown): FileSpan[] {
  if (Array.isArray(json)) return Array.isArray(json[0]) ? json.flatMap((part) => of_zipkin(list(part))) : of_zipkin(list(json));
  const top = object(json);
  if (Array.isArray(top.resourceSpans)) return of_otlp(list(top.resourceSpans));
  if (Array.isArray(top.batches)) return of_otlp(list(top.batches));
  if (top.trace) return spans_of_json(top.trace);
  if (Array.isArray(top.data)) return of_jaeger(list(top.data));
  if (Array.isArray(top.spans) && top.processes) return of_jaeger([top]);
  return [];
}
