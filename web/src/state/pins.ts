import { signal } from '@preact/signals';
import { type ApiError, as_api_error } from '../api/client.ts';
import { list_documents, load_document, remove_document, save_document } from '../api/documents.ts';
import { list_pins, pin_trace, unpin_trace } from '../api/keep.ts';
import { announce } from './app.ts';
import * as texts from '../texts/texts.ts';

/** What a trace is, as it was pinned: so that lists of pinned traces need not read them. */
export interface PinnedTrace {
  trace: string;
  service: string;
  name: string;
  start_ms: number;
  duration_ns: number;
  errors: number;
}

/** A trace that the server keeps for ever; everyone has it on Home and in Ctrl+K. */
export interface Pin {
  trace: string;
  at_ms: number;
  by: string;
  reason: string;
  /** Null where it was not pinned on a page. */
  about: PinnedTrace | null;
}

/** Pinned last first. */
export const pins = signal<Pin[]>([]);
export const pin_error = signal<ApiError | null>(null);

function is_about(value: unknown): value is PinnedTrace {
  const about = value as PinnedTrace | null;
  return typeof about?.trace === 'string' && typeof about.service === 'string' && typeof about.name === 'string' && typeof about.start_ms === 'number' && typeof about.duration_ns === 'number';
}

export async function load_pins(): Promise<void> {
  try {
    const [kept, documents] = await Promise.all([list_pins(), list_documents('pins').catch((): unknown[] => [])]); // a list of ids is better than none
    const about = new Map(documents.filter(is_about).map((one) => [one.trace, one]));
    pins.value = kept.map((pin) => ({ trace: pin.trace_id, at_ms: Number(BigInt(pin.at) / 1000000n), by: pin.by, reason: pin.reason, about: about.get(pin.trace_id) ?? null }))
      .sort((a, b) => b.at_ms - a.at_ms);
  } catch {
    return; // Pages are worth showing without the pins; pinning says what is wrong.
  }
}

export const is_pinned = (trace: string): boolean => pins.value.some((pin) => pin.trace === trace);

/** What the pin is about is for lists alone: where that cannot be written, the trace is kept all the same. */
async function describe(about: PinnedTrace): Promise<void> {
  const known = await load_document<PinnedTrace | null>(`pins/${about.trace}`, null);
  if (!known.version) await save_document(`pins/${about.trace}`, { body: about, version: 0 });
}

async function forget(trace: string): Promise<void> {
  const known = await load_document<PinnedTrace | null>(`pins/${trace}`, null);
  if (known.version) await remove_document(`pins/${trace}`, known.version);
}

async function change(work: () => Promise<void>, said: string): Promise<void> {
  try {
    await work();
    pin_error.value = null;
    announce(said);
  } catch (error) {
    pin_error.value = as_api_error(error);
  }
}

export function pin(about: PinnedTrace): Promise<void> {
  return change(async () => {
    await pin_trace(about.trace);
    await describe(about).catch(() => undefined);
    pins.value = [{ trace: about.trace, at_ms: Date.now(), by: '', reason: '', about }, ...pins.value.filter((one) => one.trace !== about.trace)];
  }, texts.state.pinned);
}

/** Someone else may have done the same meanwhile: that is as good. */
export function unpin(trace: string): Promise<void> {
  return change(async () => {
    await unpin_trace(trace);
    await forget(trace).catch(() => undefined);
    pins.value = pins.value.filter((one) => one.trace !== trace);
  }, texts.state.no_longer_pinned);
}
