import { lex, type Token } from './lexer.ts';
import { attribute, quote } from './url.ts';

/** What the form beside the query line holds. It writes TraceQL, and reads back the TraceQL that it could have written. */
export interface QueryForm {
  service: string;
  operation: string;
  min: string;
  max: string;
  errors: boolean;
  tags: { key: string; value: string }[];
}

export const kEmptyForm: QueryForm = { service: '', operation: '', min: '', max: '', errors: false, tags: [] };

/** '500', '500 ms' and '1.5s' become a TraceQL duration; null when it is not one. A bare number means milliseconds. */
export function parse_duration(text: string): string | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?$/.exec(text.trim());
  return match ? `${match[1]}${match[2] ?? 'ms'}` : null;
}

function literal(value: string): string {
  if (/^-?\d+(\.\d+)?$/.test(value) || value === 'true' || value === 'false') return value;
  return quote(value);
}

/** Numbers may be stored as numbers or as text, so both are asked for. */
function condition(key: string, value: string): string {
  const name = attribute('.', key);
  const plain = literal(value);
  return plain.startsWith('"') ? `${name} = ${plain}` : `(${name} = ${plain} || ${name} = ${quote(value)})`;
}

export function write_form(form: QueryForm): string {
  const parts: string[] = [];
  if (form.service) parts.push(`resource.service.name = ${quote(form.service)}`);
  if (form.operation) parts.push(`name = ${quote(form.operation)}`);
  const min = parse_duration(form.min);
  const max = parse_duration(form.max);
  if (min) parts.push(`duration >= ${min}`);
  if (max) parts.push(`duration <= ${max}`);
  if (form.errors) parts.push('status = error');
  for (const tag of form.tags) if (tag.key.trim()) parts.push(condition(tag.key.trim(), tag.value.trim()));
  return parts.length ? `{ ${parts.join(' && ')} }` : '';
}

class Reader {
  private at = 0;
  private readonly tokens: Token[];
  private readonly text: string;
  constructor(text: string) {
    this.text = text;
    this.tokens = lex(text);
  }
  next(): string {
    const token = this.tokens[this.at++];
    return token ? this.text.slice(token.from, token.to) : '';
  }
  peek(): string {
    const token = this.tokens[this.at];
    return token ? this.text.slice(token.from, token.to) : '';
  }
}

function unquote(text: string): string | null {
  if (text.startsWith('`')) return text.length > 1 && text.endsWith('`') ? text.slice(1, -1) : null;
  if (!text.startsWith('"')) return /^-?[\d.]+$/.test(text) || text === 'true' || text === 'false' ? text : null;
  if (text.length < 2 || !text.endsWith('"')) return null;
  const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r' };
  return text.slice(1, -1).replace(/\\(.)/g, (_, c: string) => escapes[c] ?? c);
}

/** The form of a query, or null when the query says more than the form can. */
export function read_form(text: string): QueryForm | null {
  const form: QueryForm = { ...kEmptyForm, tags: [] };
  if (!text.trim()) return form;
  const reader = new Reader(text);
  if (reader.next() !== '{') return null;
  if (reader.peek() === '}') reader.next();
  else {
    for (;;) {
      if (!read_condition(reader, form)) return null;
      const separator = reader.next();
      if (separator === '}') break;
      if (separator !== '&&') return null;
    }
  }
  return reader.peek() === '' ? form : null;
}

function read_condition(reader: Reader, form: QueryForm): boolean {
  if (reader.peek() === '(') return read_either(reader, form);
  const left = reader.next();
  const operator = reader.next();
  const right = reader.next();
  if (left === 'status') return operator === '=' && right === 'error' && (form.errors = true);
  if (left === 'duration' || left === 'span:duration') {
    if (parse_duration(right) !== right) return false;
    if (operator === '>=' && !form.min) form.min = right;
    else if (operator === '<=' && !form.max) form.max = right;
    else return false;
    return true;
  }
  const value = unquote(right);
  if (operator !== '=' || value === null) return false;
  if (left === 'resource.service.name' && !form.service) form.service = value;
  else if ((left === 'name' || left === 'span:name') && !form.operation) form.operation = value;
  else if (left.startsWith('.') && right.startsWith('"')) form.tags.push({ key: tag_key(left), value });
  else return false;
  return true;
}

/** `(.k = 1 || .k = "1")`, as the form writes numbers. */
function read_either(reader: Reader, form: QueryForm): boolean {
  const words = Array.from({ length: 9 }, () => reader.next());
  const [, key, eq1, plain, or, key2, eq2, quoted, close] = words;
  if (eq1 !== '=' || eq2 !== '=' || or !== '||' || close !== ')' || key !== key2 || !key.startsWith('.')) return false;
  if (unquote(quoted) !== plain || plain.startsWith('"')) return false;
  form.tags.push({ key: tag_key(key), value: plain });
  return true;
}

function tag_key(left: string): string {
  const key = left.slice(1);
  return key.startsWith('"') ? (unquote(key) ?? key) : key;
}
