import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type ApiError, as_api_error, is_abort } from '../api/client.ts';

export interface Answer<T> {
  value: T | null;
  error: ApiError | null;
  loading: boolean;
  retry: () => void;
}

/** What `ask` answers, asked again when `key` changes; the old value stays until the new one is there. */
export function use_answer<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Answer<T> {
  const value = useSignal<T | null>(null);
  const error = useSignal<ApiError | null>(null);
  const loading = useSignal(true);
  const attempt = useSignal(0);
  useEffect(() => {
    const stop = new AbortController();
    loading.value = true;
    ask(stop.signal)
      .then((found) => {
        if (stop.signal.aborted) return;
        value.value = found;
        error.value = null;
        loading.value = false;
      })
      .catch((problem: unknown) => {
        if (is_abort(problem) || stop.signal.aborted) return;
        error.value = as_api_error(problem);
        loading.value = false;
      });
    return () => stop.abort();
  }, [key, attempt.value]);
  return { value: value.value, error: error.value, loading: loading.value, retry: () => attempt.value++ };
}
