import { computed, signal } from '@preact/signals';
import { from_jaeger } from '../model/jaeger_link.ts';
import { with_query } from '../model/url.ts';

export interface Place {
  path: string;
  params: URLSearchParams;
}

/** An address of Jaeger's UI becomes the one that shows the same here. */
function here(): Place {
  const link = from_jaeger(location.pathname, new URLSearchParams(location.search));
  if (link !== null) history.replaceState(history.state, '', link);
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

/** Where the page is. Changed only by the functions below and by the browser's back and forward. */
export const place = signal<Place>(here());
export const path = computed(() => place.value.path);

export function go(url: string): void {
  if (url === location.pathname + location.search) return;
  history.pushState(null, '', url);
  place.value = here();
  window.scrollTo(0, 0);
}

/** Changes the URL without a new history entry: for what moves while dragging or typing. */
export function replace(url: string): void {
  if (url === location.pathname + location.search) return;
  history.replaceState(history.state, '', url);
  place.value = here();
}

/** The address of this place with one parameter other than it is; null leaves it out. */
export function here_with(name: string, value: string | null): string {
  const { path, params } = place.peek();
  const changed = new URLSearchParams(params);
  if (value === null) changed.delete(name);
  else changed.set(name, value);
  return with_query(path, changed);
}

export function start_router(): void {
  window.addEventListener('popstate', () => (place.value = here()));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
    if (link.getAttribute('href')?.startsWith('#') || !link.hasAttribute('href')) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
