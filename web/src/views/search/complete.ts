import { fetch_keys, fetch_values } from '../../api/client.ts';
import { lex } from '../../model/lexer.ts';
import { attribute, quote } from '../../model/url.ts';
import * as texts from '../../texts/texts.ts';

export interface Completion {
  insert: string;
  label: string;
  note: string;
  kind: string;
  from: number;
  to: number;
}

const kMost = 10;
const kIntrinsics: [string, string][] = [
  ['name', texts.search.operation_of_a_span], ['duration', texts.search.length_of_the_span], ['status', texts.search.error_ok_or_unset], ['kind', texts.search.server_client],
  ['rootName', texts.search.operation_of_the_root], ['rootServiceName', texts.search.service_of_the_root], ['traceDuration', texts.search.length_of_the_trace],
];
const kFixed: Record<string, string[]> = {
  status: ['error', 'ok', 'unset'],
  kind: ['server', 'client', 'internal', 'producer', 'consumer'],
};

let keys: Promise<{ span: string[]; resource: string[] }> | null = null;

/** Attribute names are asked once per visit; a failed question is asked again next time. */
function all_keys(): Promise<{ span: string[]; resource: string[] }> {
  keys ??= Promise.all([fetch_keys('span'), fetch_keys('resource')]).then(([span, resource]) => ({ span, resource }));
  keys.catch(() => (keys = null));
  return keys;
}

export async function complete_at(text: string, caret: number): Promise<Completion[]> {
  const before = text.slice(0, caret);
  if (!before.includes('{')) return [];
  try {
    const tokens = lex(before);
    const last = tokens[tokens.length - 1];
    const typed = last && last.to === caret && last.kind !== 'brace' && last.kind !== 'operator' ? before.slice(last.from) : '';
    const rest = typed ? tokens.slice(0, -1) : tokens;
    const operator = rest[rest.length - 1];
    const field = rest[rest.length - 2];
    const word = operator ? before.slice(operator.from, operator.to) : '';
    const from = caret - typed.length;
    if (operator?.kind === 'operator' && field && /^(=|!=|=~|!~)$/.test(word)) {
      return await values_for(before.slice(field.from, field.to), typed, from, caret);
    }
    if (operator && !(operator.kind === 'brace' || /^(&&|\|\||!)$/.test(word))) return [];
    return await fields_for(typed, from, caret);
  } catch {
    return []; // Suggestions are a help, never a hindrance: without the server there are none.
  }
}

async function fields_for(typed: string, from: number, to: number): Promise<Completion[]> {
  const needle = typed.toLowerCase().replace(/^(span|resource)?\./, '');
  const { span, resource } = await all_keys();
  const names: [string, string, string][] = [
    ...kIntrinsics.filter(() => !typed.includes('.')).map(([name, note]): [string, string, string] => [name, note, 'intrinsic']),
    ...(typed.startsWith('span.') ? [] : resource.map((key): [string, string, string] => [attribute('resource.', key), 'resource', 'attribute'])),
    ...(typed.startsWith('resource.') ? [] : span.map((key): [string, string, string] => [attribute(typed.startsWith('.') ? '.' : 'span.', key), 'span', 'attribute'])),
  ];
  const bare = (name: string): string => name.toLowerCase().replace(/^(span|resource)?\./, '');
  return names
    .filter(([name]) => bare(name).includes(needle) && name !== typed)
    .sort((a, b) => Number(!bare(a[0]).startsWith(needle)) - Number(!bare(b[0]).startsWith(needle)))
    .slice(0, kMost)
    .map(([name, note, kind]) => ({ insert: name, label: name, note, kind, from, to }));
}

async function values_for(field: string, typed: string, from: number, to: number): Promise<Completion[]> {
  const fixed = kFixed[field];
  if (fixed) {
    return fixed.filter((v) => v.startsWith(typed) && v !== typed).map((v) => ({ insert: v, label: v, note: '', kind: 'keyword', from, to }));
  }
  const needle = typed.replace(/^"/, '').replace(/"$/, '');
  const key = field.startsWith('.') ? field.slice(1) : field;
  const values = await fetch_values(key, needle);
  return values
    .filter((v) => v.value.toLowerCase().includes(needle.toLowerCase()))
    .slice(0, kMost)
    .map((v) => {
      const plain = v.type === 'int' || v.type === 'double' || v.type === 'bool' || v.type === 'keyword';
      const insert = plain ? v.value : quote(v.value);
      return { insert, label: insert, note: '', kind: plain ? 'number' : 'string', from, to };
    })
    .filter((item) => item.insert !== typed);
}
