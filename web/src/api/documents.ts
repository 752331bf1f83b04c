import { ApiError, error_of } from './client.ts';
import * as texts from '../texts/texts.ts';

/** A small text that the server keeps for everyone who uses it: version 0 is one that is not there. */
export interface Document<T> {
  body: T;
  version: number;
}

async function call(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(`/api/documents/${path}`, init);
  } catch {
    throw new ApiError(0, texts.state.the_server_does_not_answer, texts.state.is_spanloom_still_running_try_again);
  }
}

const version_of = (response: Response): number => Number((response.headers.get('etag') ?? '').replaceAll('"', '')) || 0;

export async function load_document<T>(path: string, absent: T): Promise<Document<T>> {
  const response = await call(`${path}?absent=null`, { headers: { accept: 'application/json' } });
  if (!response.ok) throw await error_of(response);
  const body = (await response.json()) as T | null;
  return { body: body ?? absent, version: version_of(response) };
}

/** Null where someone else has changed it meanwhile: load it and try again. */
export async function save_document<T>(path: string, document: Document<T>): Promise<Document<T> | null> {
  const headers = new Headers({ 'content-type': 'application/json' });
  if (document.version) headers.set('if-match', `"${document.version}"`);
  else headers.set('if-none-match', '*');
  const response = await call(path, { method: 'PUT', headers, body: JSON.stringify(document.body) });
  if (response.status === 412) return null;
  if (!response.ok) throw await error_of(response);
  return { body: document.body, version: version_of(response) };
}

/** The bodies of all documents of a kind, changed last first. */
export async function list_documents(kind: string): Promise<unknown[]> {
  const response = await call(`${kind}?bodies=true`, { headers: { accept: 'application/json' } });
  if (!response.ok) throw await error_of(response);
  return ((await response.json()) as { documents: { body: unknown }[] }).documents.map((one) => one.body);
}

/** Where it is gone or changed meanwhile, nothing is removed. */
export async function remove_document(path: string, version: number): Promise<void> {
  const response = await call(path, { method: 'DELETE', headers: { 'if-match': `"${version}"` } });
  if (!response.ok && response.status !== 404 && response.status !== 412) throw await error_of(response);
}

const kTries = 5;

/** Loads it, changes it and saves it, again where others are at it. */
export async function change_document<T>(path: string, absent: T, change: (body: T) => T): Promise<T> {
  for (let i = 0; i < kTries; i++) {
    const before = await load_document(path, absent);
    const after = await save_document(path, { body: change(before.body), version: before.version });
    if (after) return after.body;
  }
  throw new ApiError(409, texts.state.others_keep_changing_this, texts.state.try_again_in_a_moment);
}
