import { signal } from '@preact/signals';
import { type ApiError, as_api_error } from '../api/client.ts';
import { list_documents, load_document, remove_document, save_document } from '../api/documents.ts';
import { announce } from './app.ts';
import * as texts from '../texts/texts.ts';

/** A trace that someone wants to find again: the server's, so that everyone has it. */
export interface Pin {
  trace: string;
  service: string;
  name: string;
  start_ms: number;
  duration_ns: number;
  errors: number;
}

/** Changed last first. */
export const pins = signal<Pin[]>([]);
export const pin_error = signal<ApiError | null>(null);

function is_pin(value: unknown): value is Pin {
  const pin = value as Pin | null;
  return typeof pin?.trace === 'string' && /^[0-9a-f]{32}$/.test(pin.trace) && typeof pin.service === 'string' && typeof pin.name === 'string' && typeof pin.start_ms === 'number' && typeof pin.duration_ns === 'number';
}

export async function load_pins(): Promise<void> {
  try {
    pins.value = (await list_documents('pins')).filter(is_pin);
  } catch {
    return; // Pages are worth showing without the pins; pinning says what is wrong.
  }
}

export const is_pinned = (trace: string): boolean => pins.value.some((pin) => pin.trace === trace);

/** Pins it, or takes the pin away. Someone else may have done the same meanwhile: that is as good. */
export async function toggle_pin(pin: Pin): Promise<void> {
  const path = `pins/${pin.trace}`;
  try {
    const known = await load_document<Pin | null>(path, null);
    if (is_pinned(pin.trace)) {
      if (known.version) await remove_document(path, known.version);
      pins.value = pins.value.filter((one) => one.trace !== pin.trace);
      announce(texts.state.no_longer_pinned);
    } else {
      if (!known.version) await save_document(path, { body: pin, version: 0 });
      pins.value = [pin, ...pins.value];
      announce(texts.state.pinned);
    }
    pin_error.value = null;
  } catch (error) {
    pin_error.value = as_api_error(error);
    announce(texts.state.the_pin_could_not_be_changed(pin_error.value.message));
  }
}
