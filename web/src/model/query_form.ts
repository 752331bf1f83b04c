import { all_of, conditions_of, equals, inside_braces, is_intrinsic } from './narrow_query.ts';
import { attribute, quote } from './url.ts';

/** What the form beside the query line holds. It writes TraceQL, and reads back every query of one pair of braces whose conditions all have to hold. */
export interface QueryForm {
  service: string;
  operation: string;
  min: string;
  max: string;
  errors: boolean;
  /** What else has to hold, each in TraceQL. */
  conditions: string[];
}

export const kEmptyForm: QueryForm = { service: '', operation: '', min: '', max: '', errors: false, conditions: [] };

export const kOperators = ['=', '!=', '=~', '!~', '>', '>=', '<', '<='] as const;
export type Operator = (typeof kOperators)[number];

const kDuration = /^\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h)$/;

/** '500', '500 ms' and '1.5s' become a TraceQL duration; null when it is not one. A bare number means milliseconds. */
export function parse_duration(text: string): string | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?$/.exec(text.trim());
  return match ? `${match[1]}${match[2] ?? 'ms'}` : null;
}

/** One condition in TraceQL, of an attribute of any scope unless the key names one, or of what every span has (`kind`, `duration`, `rootName`, `event:name`). */
export function condition(key: string, operator: Operator, value: string): string {
  const scoped = /^(span|resource|event|link|instrumentation)?\.(.+)$/s.exec(key);
  const label = scoped || is_intrinsic(key) ? key : `.${key}`;
  if (/duration$/i.test(label) && !label.includes('.')) return `${label} ${operator} ${parse_duration(value) ?? quote(value)}`;
  if (operator === '=' || operator === '!=') return equals(label, value, operator === '!=');
  const name = scoped ? attribute(`${scoped[1] ?? ''}.`, scoped[2]) : is_intrinsic(key) ? key : attribute('.', key);
  const is_plain = (operator !== '=~' && operator !== '!~') && (/^-?\d+(\.\d+)?$/.test(value) || kDuration.test(value));
  return `${name} ${operator} ${is_plain ? value : quote(value)}`;
}

/** A condition as the form shows it: numbers that may be stored as text stand there once. */
export function shown_condition(text: string): string {
  const either = /^\((.+?) (!?=) (\S+) (?:\|\||&&) \1 \2 "\3"\)$/.exec(text);
  return either ? `${either[1]} ${either[2]} ${either[3]}` : text;
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
  parts.push(...form.conditions);
  return parts.length > 0 ? all_of(parts) : '';
}

/** A text literal's text; null for anything else. */
function text_of(literal: string): string | null {
  if (!/^"(?:\\.|[^"\\])*"$/s.test(literal)) return null;
  const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r' };
  return literal.slice(1, -1).replace(/\\(.)/g, (_, c: string) => escapes[c] ?? c);
}

/** The form of a query, or null when the query says more than conditions that all have to hold. */
export function read_form(text: string): QueryForm | null {
  const form: QueryForm = { ...kEmptyForm, conditions: [] };
  if (!text.trim()) return form;
  const conditions = conditions_of(text);
  if (conditions.length === 0) return inside_braces(text) === '' ? form : null;
  for (const one of conditions) if (!take_field(one, form)) form.conditions.push(one);
  return form;
}

/** Whether the condition is one of the fields of the form, and now is in it. */
function take_field(one: string, form: QueryForm): boolean {
  const match = /^([\w.:]+)\s*(>=|<=|=)\s*(.+)$/s.exec(one);
  if (!match) return false;
  const [, left, operator, right] = match;
  if (left === 'status' && operator === '=' && right === 'error' && !form.errors) return (form.errors = true);
  if (left === 'duration' || left === 'span:duration') {
    const side = operator === '>=' ? 'min' : operator === '<=' ? 'max' : null;
    if (!side || form[side] || parse_duration(right) !== right) return false;
    form[side] = right;
    return true;
  }
  const value = text_of(right);
  const field = left === 'resource.service.name' ? 'service' : left === 'name' || left === 'span:name' ? 'operation' : null;
  if (operator !== '=' || !value || !field || form[field]) return false;
  form[field] = value;
  return true;
}
