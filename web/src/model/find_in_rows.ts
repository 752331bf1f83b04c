import type { Attribute, SpanRow } from '../api/types.ts';

/** The rows that hold a text anywhere, whatever its case: in names, ids, attributes, events, resource and scope. As the server finds it in a stored trace: pairs of the first row and the one after the last. */
export function find_in_rows(rows: readonly SpanRow[], text: string): number[] {
  const wanted = text.toLowerCase();
  const is_in = (value: string): boolean => value.toLowerCase().includes(wanted);
  const is_in_attributes = (items: readonly Attribute[]): boolean =>
    items.some((item) => is_in(item.key) || is_in(typeof item.value === 'string' ? item.value : JSON.stringify(item.value) ?? ''));
  // Rows of one resource share the list of its attributes.
  const known = new Map<readonly Attribute[], boolean>();
  const is_in_shared = (items: readonly Attribute[]): boolean => {
    let found = known.get(items);
    if (found === undefined) known.set(items, (found = is_in_attributes(items)));
    return found;
  };
  const out: number[] = [];
  rows.forEach((row, at) => {
    const holds =
      is_in(row.name) || is_in(row.span_id) || is_in(row.status.message) || is_in_attributes(row.attributes) || row.events.some((event) => is_in(event.name) || is_in_attributes(event.attributes)) ||
      is_in_shared(row.resource.attributes) || is_in(row.scope.name) || is_in_shared(row.scope.attributes);
    if (!holds) return;
    if (out[out.length - 1] === at) out[out.length - 1] = at + 1;
    else out.push(at, at + 1);
  });
  return out;
}
