import { lex } from './lexer.ts';
import { attribute, quote } from './url.ts';

/** The text between the braces of a query that is one pair of braces and nothing else; null for any other. */
export function inside_braces(q: string): string | null {
  const text = q.trim();
  if (text === '') return '';
  const tokens = lex(text);
  if (!text.startsWith('{') || !text.endsWith('}')) return null;
  const braces = tokens.filter((token) => ['{', '}'].includes(text.slice(token.from, token.to)));
  return braces.length === 2 ? text.slice(1, -1).trim() : null;
}

/** The conditions of a query that is one pair of braces with && between them; empty for any other. */
export function conditions_of(q: string): string[] {
  const inside = inside_braces(q);
  if (!inside) return [];
  const out: string[] = [];
  let from = 0;
  let depth = 0;
  for (const token of lex(inside)) {
    const text = inside.slice(token.from, token.to);
    if (token.kind === 'string') continue;
    if (text === '(') depth++;
    else if (text === ')') depth--;
    else if (depth === 0 && text === '||') return [];
    else if (depth === 0 && text === '&&') {
      out.push(inside.slice(from, token.from).trim());
      from = token.to;
    }
  }
  out.push(inside.slice(from).trim());
  return out.every(Boolean) ? out : [];
}

/** A query of these conditions. */
export function all_of(conditions: readonly string[]): string {
  return conditions.length > 0 ? `{ ${conditions.join(' && ')} }` : '{ }';
}

/** The query, and of its spans only those for which the condition holds. */
export function narrow_query(q: string, condition: string): string {
  const inside = inside_braces(q);
  if (inside === '') return `{ ${condition} }`;
  if (inside !== null) return `{ ${/\|\|/.test(inside) ? `(${inside})` : inside} && ${condition} }`;
  return `${q.trim()} | { ${condition} }`;
}

const kIntrinsics = new Set(['name', 'kind', 'status', 'statusMessage', 'rootName', 'rootServiceName', 'duration', 'traceDuration', 'childCount']);
/** What every span has, apart from attributes. */
export function is_intrinsic(label: string): boolean {
  return kIntrinsics.has(label) || /^(event|link|instrumentation|trace|span):/.test(label);
}

const kWords: Record<string, ReadonlySet<string>> = {
  status: new Set(['error', 'ok', 'unset']),
  kind: new Set(['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']),
};

/** `attribute = value`, the attribute as a metrics label names it: `span.http.route`, `resource.service.name`, `name`, `status`. */
export function equals(label: string, value: string, negated = false): string {
  const operator = negated ? '!=' : '=';
  const plain = label.replace(/^(span|trace):/, '');
  if (kWords[plain]?.has(value)) return `${plain} ${operator} ${value}`;
  if (is_intrinsic(plain) || is_intrinsic(label)) return `${label} ${operator} ${quote(value)}`;
  const scoped = /^(span|resource|event|link|instrumentation)?\.(.*)$/s.exec(label);
  const name = scoped ? attribute(`${scoped[1] ?? ''}.`, scoped[2]) : attribute('.', label);
  const number = /^-?\d+(\.\d+)?$/.test(value) || value === 'true' || value === 'false';
  if (!number) return `${name} ${operator} ${quote(value)}`;
  // Numbers may be stored as numbers or as text.
  return negated ? `(${name} != ${value} && ${name} != ${quote(value)})` : `(${name} = ${value} || ${name} = ${quote(value)})`;
}
