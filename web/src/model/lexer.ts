// Colours TraceQL until the server's own tokens arrive. It never refuses anything: what it does not know is 'text'.

export interface Token {
  from: number;
  to: number;
  kind: string;
}

const kRules: [string, RegExp][] = [
  ['space', /\s+/y],
  ['comment', /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ['string', /"(?:\\.|[^"\\])*"?|`[^`]*`?/y],
  ['attribute', /(?:(?:parent\.)?(?:span|resource|event|link|instrumentation|parent))?\.(?:"(?:\\.|[^"\\])*"?|[^\s{}()=~!<>&|^,"])+/y],
  ['intrinsic', /(?:span|trace|event|link|instrumentation):[A-Za-z]+/y],
  ['duration', /\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w|y)(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))*(?![\w.])/y],
  ['number', /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y],
  ['brace', /[{}()]/y],
  ['operator', /&>>|&<<|!>>|!<<|&>|&<|&~|!>|!<|!~|=~|!=|>=|<=|&&|\|\||>>|<<|[=<>!~+\-*/%^|,]/y],
  ['word', /[A-Za-z_][\w]*/y],
  ['text', /[^]/y],
];

const kKeywords = new Set([
  'true', 'false', 'nil', 'error', 'ok', 'unset', 'unspecified', 'internal', 'server', 'client', 'producer', 'consumer',
  'by', 'coalesce', 'select', 'count', 'avg', 'min', 'max', 'sum', 'rate', 'with',
]);
const kIntrinsics = new Set([
  'duration', 'name', 'status', 'statusMessage', 'kind', 'traceDuration', 'rootName', 'rootServiceName', 'childCount',
]);

export function lex(text: string): Token[] {
  const out: Token[] = [];
  for (let at = 0; at < text.length; ) {
    for (const [kind, rule] of kRules) {
      rule.lastIndex = at;
      const match = rule.exec(text);
      if (!match || !match[0]) continue;
      const to = at + match[0].length;
      if (kind !== 'space') out.push({ from: at, to, kind: kind === 'word' ? word_kind(match[0]) : kind });
      at = to;
      break;
    }
  }
  return out;
}

function word_kind(word: string): string {
  if (kIntrinsics.has(word)) return 'intrinsic';
  return kKeywords.has(word) ? 'keyword' : 'text';
}
