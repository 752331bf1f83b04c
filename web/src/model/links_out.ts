import * as texts from '../texts/texts.ts';

/** A link to another system from a span: its logs, the metrics of its host, the source of its code. */
export interface LinkOut {
  name: string;
  /** An address with names in braces: {trace}, {span}, {service}, {operation}, {start_ms}, {end_ms}, or a key of an attribute. */
  url: string;
}

export const kLinksMax = 20;
const kPlaceholder = /\{([^{}]+)\}/g;

/** What is wrong with an address; '' where nothing is. Only http and https, and the host is written out: data never chooses it. */
export function problem_of(url: string): string {
  if (url.length > 2000) return texts.model.the_address_is_too_long;
  const with_text = (text: string): URL | null => {
    try {
      return new URL(url.replace(kPlaceholder, text));
    } catch {
      return null;
    }
  };
  const [a, b] = [with_text('a'), with_text('b')];
  if (!a || !b) return texts.model.this_is_not_a_whole_address;
  if (a.protocol !== 'https:' && a.protocol !== 'http:') return texts.model.the_address_must_begin_with_http;
  if (a.origin !== b.origin || a.username || a.password || b.username || b.password) return texts.model.the_host_must_be_written_out;
  return '';
}

/** The address for a span; null where the span lacks something that it names. */
export function fill(url: string, value_of: (name: string) => string | null): string | null {
  if (problem_of(url)) return null;
  let lacks = false;
  const filled = url.replace(kPlaceholder, (_, name: string) => {
    const value = value_of(name);
    if (value === null || value === '') lacks = true;
    return encodeURIComponent((value ?? '').replace(/\p{Surrogate}/gu, '\ufffd'));
  });
  return lacks ? null : filled;
}

export function links_of(value: unknown): LinkOut[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((one): one is LinkOut => typeof one?.name === 'string' && typeof one?.url === 'string' && one.name.trim() !== '' && problem_of(one.url) === '')
    .slice(0, kLinksMax);
}
