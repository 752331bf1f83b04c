import { condition, parse_duration } from './query_form.ts';
import { quote, with_query } from './url.ts';

// Addresses of Jaeger's UI, which stand in old tickets, dashboards and alerts, and what shows the same here.

const kSearchKeys = ['service', 'operation', 'tags', 'tag', 'minDuration', 'maxDuration', 'lookback', 'start', 'end', 'limit', 'traceID'];
const kUnits = new Set(['s', 'm', 'h', 'd', 'w']);

/** Jaeger says by a tag what is no attribute here. */
const kTagConditions: Record<string, (value: string) => string | null> = {
  error: (value) => (value === 'true' ? 'status = error' : value === 'false' ? 'status != error' : null),
  'otel.status_code': (value) => ({ ERROR: 'status = error', OK: 'status = ok' })[value.toUpperCase()] ?? null,
  'span.kind': (value) => (/^(internal|server|client|producer|consumer)$/.test(value) ? `kind = ${value}` : null),
  'otel.scope.name': (value) => `instrumentation:name = ${quote(value)}`,
  'otel.library.name': (value) => `instrumentation:name = ${quote(value)}`,
};

/** `{"http.method":"GET"}` of today's links and the repeated `http.method:GET` of older ones. What is neither is left out: the rest still means something. */
function tags_of(params: URLSearchParams): [string, string][] {
  const out: [string, string][] = [];
  for (const text of params.getAll('tags')) {
    try {
      const tags: unknown = JSON.parse(text);
      if (typeof tags === 'object' && tags !== null) for (const [key, value] of Object.entries(tags)) out.push([key, String(value)]);
    } catch {
      continue;
    }
  }
  for (const text of params.getAll('tag')) {
    const at = text.indexOf(':');
    if (at > 0) out.push([text.slice(0, at), text.slice(at + 1)]);
  }
  return out;
}

function query_of(params: URLSearchParams): string {
  const ids = params.getAll('traceID').filter((id) => /^[0-9a-f]{1,32}$/i.test(id));
  if (ids.length > 0) return `{ ${ids.map((id) => `trace:id = ${quote(id.toLowerCase().padStart(32, '0'))}`).join(' || ')} }`;
  const parts: string[] = [];
  const service = params.get('service');
  const operation = params.get('operation');
  if (service) parts.push(`resource.service.name = ${quote(service)}`);
  if (operation && operation !== 'all') parts.push(`name = ${quote(operation)}`);
  for (const [key, value] of tags_of(params)) parts.push(kTagConditions[key]?.(value) ?? condition(`.${key}`, '=', value));
  const min = parse_duration(params.get('minDuration') ?? '');
  const max = parse_duration(params.get('maxDuration') ?? '');
  if (min) parts.push(`duration >= ${min}`);
  if (max) parts.push(`duration <= ${max}`);
  return parts.length > 0 ? `{ ${parts.join(' && ')} }` : '';
}

/** Start and end are microseconds; a link that has both shows what it showed when it was copied. */
function set_range(params: URLSearchParams, to: URLSearchParams): void {
  const [start, end] = ['start', 'end'].map((key) => /^\d{13,17}$/.exec(params.get(key) ?? '')?.[0]);
  const lookback = /^(\d{1,6})([a-z])$/.exec(params.get('lookback') ?? '');
  if (start && end) {
    to.set('from', `${start}000`);
    to.set('to', `${end}000`);
  } else if (lookback && kUnits.has(lookback[2])) to.set('from', `now-${lookback[0]}`);
}

/** The address here that shows what an address of Jaeger's UI showed; null for any other address. */
export function from_jaeger(path: string, params: URLSearchParams): string | null {
  const rest = new URLSearchParams(params);
  const clean = path.replace(/\/$/, '');
  if (clean === '/search' && !params.has('q') && kSearchKeys.some((key) => params.has(key))) {
    for (const key of kSearchKeys) rest.delete(key);
    const q = query_of(params);
    if (q) rest.set('q', q);
    set_range(params, rest);
    return with_query('/search', rest);
  }
  if (clean === '/dependencies') return '/map';
  if (clean === '/monitor') return params.get('service') ? `/service/${encodeURIComponent(params.get('service') ?? '')}` : '/';
  const pair = /^\/trace\/([0-9a-f]{1,32})\.\.\.([0-9a-f]{1,32})$/i.exec(clean);
  if (pair) return with_query('/compare', new URLSearchParams({ a: pair[1].toLowerCase().padStart(32, '0'), b: pair[2].toLowerCase().padStart(32, '0') }));
  if (/^\/trace\//.test(clean) && params.has('uiFind')) {
    rest.delete('uiFind');
    if (!rest.has('find')) rest.set('find', params.get('uiFind') ?? '');
    return with_query(path, rest);
  }
  return null;
}
