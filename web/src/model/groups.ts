import { inside_braces } from './narrow_query.ts';
import { trace_id_in } from './url.ts';
import * as texts from '../texts/texts.ts';

/** One side of a comparison: a trace, or all spans that a query finds. */
export type Side = { kind: 'trace'; id: string } | { kind: 'query'; q: string; condition: string } | { kind: 'wrong'; text: string; problem: string } | { kind: 'none' };

export function read_side(text: string | null): Side {
  const plain = (text ?? '').trim();
  if (!plain) return { kind: 'none' };
  const id = trace_id_in(plain);
  if (id) return { kind: 'trace', id };
  if (!plain.startsWith('{')) return { kind: 'wrong', text: plain, problem: texts.model.write_a_trace_id_or_a };
  const condition = inside_braces(plain);
  if (condition === null) return { kind: 'wrong', text: plain, problem: texts.model.a_group_is_one_pair_of };
  return { kind: 'query', q: plain, condition: condition || 'true' };
}

/** TraceQL that counts what is different in b beside a: spans of both groups count as b's. */
export function compare_query(a: string, b: string, values: number): string {
  return `{ (${a}) || (${b}) } | compare({ ${b} }, ${values})`;
}
