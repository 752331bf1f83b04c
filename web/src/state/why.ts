import { signal } from '@preact/signals';
import { as_api_error, type ApiError, is_abort } from '../api/client.ts';
import { fetch_why, type WhyAnswer } from '../api/keep.ts';

/** What became of the trace that is asked about: the one of the trace page, or of the Sampling page. */
export const why = signal<{ trace: string; answer: WhyAnswer | null; error: ApiError | null }>({ trace: '', answer: null, error: null });

/** An answer about the same trace stays until the new one is there. */
export async function load_why(trace: string, signal?: AbortSignal): Promise<void> {
  if (why.value.trace !== trace) why.value = { trace, answer: null, error: null };
  try {
    const answer = await fetch_why(trace, signal);
    if (why.value.trace === trace && !signal?.aborted) why.value = { trace, answer, error: null };
  } catch (error) {
    if (!is_abort(error) && why.value.trace === trace) why.value = { trace, answer: null, error: as_api_error(error) };
  }
}
