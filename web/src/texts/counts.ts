/** How numbers are written, and which words go with how many. */
export const kLocale = 'en-US';

/** What stands in a text: a number, or one that was made readable already. */
export type Shown = string | number;

const numbers = new Intl.NumberFormat(kLocale, { maximumFractionDigits: 0 });
const rules = new Intl.PluralRules(kLocale);

export function count(value: number): string {
  return numbers.format(value);
}

/** A word by the plural rules of the language; `other` is always among them. */
interface Forms {
  one?: string;
  two?: string;
  few?: string;
  many?: string;
  other: string;
}

/** The word alone, where the number stands apart from it. */
function word(forms: Forms): (value: number) => string {
  return (value) => forms[rules.select(value) as keyof Forms] ?? forms.other;
}

function counted(forms: Forms): (value: number) => string {
  const word_for = word(forms);
  return (value) => `${count(value)} ${word_for(value)}`;
}

export const words = {
  spans: word({ one: 'span', other: 'spans' }),
  services: word({ one: 'service', other: 'services' }),
};

export const counts = {
  children: counted({ one: 'child', other: 'children' }),
  errors: counted({ one: 'error', other: 'errors' }),
  events: counted({ one: 'event', other: 'events' }),
  idle_gaps: counted({ one: 'idle gap', other: 'idle gaps' }),
  kinds: counted({ one: 'kind', other: 'kinds' }),
  linking_traces: counted({ one: 'linking trace', other: 'linking traces' }),
  matches: counted({ one: 'match', other: 'matches' }),
  more_spans: counted({ one: 'more span', other: 'more spans' }),
  new_spans: counted({ one: 'new span', other: 'new spans' }),
  operations: counted({ one: 'operation', other: 'operations' }),
  rows: counted({ one: 'row', other: 'rows' }),
  services: counted({ one: 'service', other: 'services' }),
  spans: counted({ one: 'span', other: 'spans' }),
  statements: counted({ one: 'statement', other: 'statements' }),
  times: counted({ one: 'time', other: 'times' }),
  traces: counted({ one: 'trace', other: 'traces' }),
};
