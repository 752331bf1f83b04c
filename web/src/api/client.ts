import type { Boot, Health, MapAnswer, ParseAnswer, SamplingAnswer, SearchEnd, SettingsAnswer, ServicesAnswer, SpanRow, TraceSummary } from './types.ts';
import * as texts from '../texts/texts.ts';

const kPrefix = '/api/ui/v1/';

/** What the server (or the network) said went wrong, in words for the person at the screen. */
export class ApiError extends Error {
  readonly status: number;
  readonly hint: string;
  readonly pos: number | null;
  readonly request_id: string;
  constructor(status: number, message: string, hint = '', pos: number | null = null, request_id = '') {
    super(message);
    this.status = status;
    this.hint = hint;
    this.pos = pos;
    this.request_id = request_id;
  }
}

export function is_abort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function as_api_error(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, error instanceof Error ? error.message : String(error));
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(kPrefix + path, init);
  } catch (error) {
    if (is_abort(error)) throw error;
    throw new ApiError(0, texts.state.the_server_does_not_answer, texts.state.is_spanloom_still_running_the_page);
  }
  if (response.ok) return response;
  throw await error_of(response);
}

export async function error_of(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text) as { message?: string; hint?: string; pos?: number; requestId?: string };
    const pos = typeof body.pos === 'number' && body.pos >= 0 ? body.pos : null;
    return new ApiError(response.status, body.message ?? response.statusText, body.hint ?? '', pos, body.requestId ?? '');
  } catch {
    return new ApiError(response.status, texts.state.the_server_answered(response.status, response.statusText));
  }
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { signal, headers: { accept: 'application/json' } });
  return (await response.json()) as T;
}

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return request(path, { method: 'POST', signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/** Without headers of its own, so that it takes what the page's head has asked for already. */
export const fetch_boot = async (signal?: AbortSignal): Promise<Boot> => (await (await request('boot', { signal })).json()) as Boot;
export const fetch_health = (signal?: AbortSignal): Promise<Health> => get('health', signal);

export function fetch_services(from: bigint, to: bigint, step: bigint, signal?: AbortSignal): Promise<ServicesAnswer> {
  return get(`services?from=${from}&to=${to}&step=${step}`, signal);
}

export const fetch_map = (from: bigint, to: bigint, signal?: AbortSignal): Promise<MapAnswer> => get(`map?from=${from}&to=${to}`, signal);

export async function fetch_operations(service: string, signal?: AbortSignal): Promise<{ name: string; kind: string }[]> {
  const answer = await get<{ operations: { name: string; kind: string }[] }>(`operations?service=${encodeURIComponent(service)}`, signal);
  return answer.operations;
}

export async function fetch_keys(scope: string, signal?: AbortSignal): Promise<string[]> {
  return (await get<{ keys: string[] }>(`keys?scope=${scope}`, signal)).keys;
}

export async function fetch_values(key: string, query: string, signal?: AbortSignal): Promise<{ type: string; value: string }[]> {
  const path = `values?key=${encodeURIComponent(key)}&q=${encodeURIComponent(query)}`;
  return (await get<{ values: { type: string; value: string }[] }>(path, signal)).values;
}

export async function parse_query(q: string, signal?: AbortSignal): Promise<ParseAnswer> {
  return (await (await post('parse', { q }, signal)).json()) as ParseAnswer;
}

export interface SearchRequest {
  q: string;
  from: bigint;
  to: bigint;
  limit: number;
  cursor: string | null;
}

/** Calls `found` for every trace as it arrives; resolves with the end of the answer. */
export async function search_traces(
  ask: SearchRequest, found: (trace: TraceSummary) => void, signal?: AbortSignal,
): Promise<SearchEnd> {
  const body = { q: ask.q.trim() || '{ }', from: String(ask.from), to: String(ask.to), limit: ask.limit, cursor: ask.cursor };
  const response = await post('search', body, signal);
  let end: SearchEnd | null = null;
  for await (const line of lines_of(response)) {
    const entry = JSON.parse(line) as { trace?: TraceSummary; end?: SearchEnd; error?: { message: string; hint?: string } };
    if (entry.trace) found(entry.trace);
    if (entry.error) throw new ApiError(200, entry.error.message, entry.error.hint ?? '');
    if (entry.end) end = entry.end;
  }
  if (!end) throw new ApiError(0, texts.state.the_answer_ended_early, texts.state.the_server_may_have_stopped_in);
  return end;
}

async function* lines_of(response: Response): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim()) yield line;
    if (done) break;
  }
  if (rest.trim()) yield rest;
}

/** What an operation of a trace usually is: over the day that ends with the trace. */
export interface UsualOperation {
  service: string;
  name: string;
  kind: string;
  count: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
}

export async function fetch_baseline(id: string, signal?: AbortSignal): Promise<UsualOperation[]> {
  return (await get<{ operations: UsualOperation[] }>(`trace/${id}/baseline`, signal)).operations;
}

/** Rows that hold a text anywhere: pairs of the first row and the one after the last. */
export async function find_rows(id: string, text: string, signal?: AbortSignal): Promise<number[]> {
  return (await get<{ rows: number[] }>(`trace/${id}/find?q=${encodeURIComponent(text)}`, signal)).rows;
}

export const fetch_settings = (signal?: AbortSignal): Promise<SettingsAnswer> => get('settings', signal);
export const fetch_sampling = (from: bigint, to: bigint, signal?: AbortSignal): Promise<SamplingAnswer> => get(`sampling?from=${from}&to=${to}`, signal);

export async function fetch_skeleton(id: string, span: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const response = await request(`trace/${id}/skeleton${span ? `?span=${span}` : ''}`, { signal });
  return response.arrayBuffer();
}

/** Rows are named as ranges where they are next to each other. */
export async function fetch_rows(id: string, rows: readonly number[], signal?: AbortSignal): Promise<SpanRow[]> {
  const parts: string[] = [];
  for (let i = 0; i < rows.length; ) {
    let last = i;
    while (last + 1 < rows.length && rows[last + 1] === rows[last] + 1) last++;
    parts.push(last > i ? `${rows[i]}-${rows[last]}` : String(rows[i]));
    i = last + 1;
  }
  return (await get<{ rows: SpanRow[] }>(`trace/${id}/rows?rows=${parts.join(',')}`, signal)).rows;
}
