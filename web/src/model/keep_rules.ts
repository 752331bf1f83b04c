// Keep rules as the server takes them, as text, and as a form.

import { short_duration } from './format.ts';

export interface KeepRule {
  name: string;
  match?: string;
  slowest?: number;
  rate?: number;
  per_second?: number;
  per_key?: number;
  by?: string[];
  for?: string;
  max_bytes?: number | string;
}

export interface KeepRules {
  recent: { for?: string; disk?: number | string };
  keep: KeepRule[];
}

const kUnits: [number, string][] = [[1024 ** 4, 'TiB'], [1024 ** 3, 'GiB'], [1024 ** 2, 'MiB'], [1024, 'KiB'], [1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']];

/** As the configuration writes it, without losing a byte: 50GiB. */
export function size_text(bytes: number | string): string {
  if (typeof bytes === 'string') return bytes;
  const unit = kUnits.find(([size]) => bytes >= size && bytes % size === 0);
  return unit ? `${bytes / unit[0]}${unit[1]}` : String(bytes);
}

// ---- as text ----

function readable(rule: KeepRule): KeepRule {
  const out = { ...rule };
  if (out.max_bytes !== undefined) out.max_bytes = size_text(out.max_bytes);
  if (out.for !== undefined) out.for = short_duration(out.for);
  return out;
}

/** JSON on one line with a space after each comma and colon, as people write it into a configuration. */
function line_of(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(line_of).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${JSON.stringify(key)}: ${line_of(one)}`).join(', ')}}`;
}

export const rule_line = (rule: KeepRule): string => line_of(readable(rule));

/** A rule on a line. The same text can stand in the configuration: JSON is YAML. */
export function text_of(rules: KeepRules): string {
  const recent = { ...rules.recent };
  if (recent.for !== undefined) recent.for = short_duration(recent.for);
  if (recent.disk !== undefined) recent.disk = size_text(recent.disk);
  return `{\n  "recent": ${line_of(recent)},\n  "keep": [\n${rules.keep.map((rule) => `    ${rule_line(rule)}`).join(',\n')}\n  ]\n}\n`;
}

// ---- as a form ----

export const kHows = ['all', 'rate', 'per_second', 'per_key'] as const;
export type How = (typeof kHows)[number];

/** A rule as fields: what is empty is left out. */
export interface RuleForm {
  /** Which one it is while rules are moved; not of the rule. */
  id: number;
  name: string;
  match: string;
  slowest: string;
  how: How;
  amount: string;
  by: string;
  for: string;
  max_bytes: string;
}

export interface RulesForm {
  recent_for: string;
  recent_disk: string;
  rules: RuleForm[];
}

let next_id = 1;

export function empty_rule(): RuleForm {
  return { id: next_id++, name: '', match: '', slowest: '', how: 'all', amount: '', by: '', for: '', max_bytes: '' };
}

const kRuleKeys = new Set(['name', 'match', 'slowest', 'rate', 'per_second', 'per_key', 'by', 'for', 'max_bytes']);
const is_object = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const is_plain = (value: unknown): value is string | number | undefined => value === undefined || typeof value === 'string' || typeof value === 'number';
const plain = (value: unknown): string => (value === undefined ? '' : String(value));

function rule_form(value: unknown): RuleForm | null {
  if (!is_object(value) || Object.keys(value).some((key) => !kRuleKeys.has(key))) return null;
  const { by, ...others } = value;
  if (!Object.values(others).every(is_plain) || (by !== undefined && !(Array.isArray(by) && by.every((one) => typeof one === 'string')))) return null;
  const given = kHows.filter((how) => value[how] !== undefined);
  if (given.length > 1) return null;
  const how = given.length === 0 || (given[0] === 'rate' && Number(value.rate) === 1) ? 'all' : given[0];
  return {
    id: next_id++, name: plain(value.name), match: plain(value.match), slowest: plain(value.slowest), how, amount: how === 'all' ? '' : plain(value[how]),
    by: ((by as string[] | undefined) ?? []).join(', '), for: short_duration(plain(value.for)), max_bytes: value.max_bytes === undefined ? '' : size_text(value.max_bytes as number | string),
  };
}

/** Null where the form has no fields for what is there. */
export function form_of(value: unknown): RulesForm | null {
  if (!is_object(value) || Object.keys(value).some((key) => key !== 'recent' && key !== 'keep')) return null;
  const recent = value.recent ?? {};
  if (!is_object(recent) || Object.keys(recent).some((key) => key !== 'for' && key !== 'disk') || !Object.values(recent).every(is_plain) || !Array.isArray(value.keep)) return null;
  const rules = value.keep.map(rule_form);
  if (!rules.every((rule) => rule !== null)) return null;
  return { recent_for: short_duration(plain(recent.for)), recent_disk: recent.disk === undefined ? '' : size_text(recent.disk as number | string), rules };
}

/** What is no number goes to the server as it was written: its answer says what is wrong, and where. */
function number_of(text: string): number {
  const number = Number(text);
  return (text.trim() !== '' && Number.isFinite(number) ? number : text) as number;
}

/** At commas that are outside quotes. */
function split_by(text: string): string[] {
  return (text.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g) ?? []).map((one) => one.trim()).filter((one) => one !== '');
}

export function rules_of(form: RulesForm): KeepRules {
  const recent: KeepRules['recent'] = {};
  if (form.recent_for.trim()) recent.for = form.recent_for.trim();
  if (form.recent_disk.trim()) recent.disk = form.recent_disk.trim();
  const keep = form.rules.map((one): KeepRule => {
    const rule: KeepRule = { name: one.name.trim() };
    if (one.match.trim()) rule.match = one.match.trim();
    if (one.slowest.trim()) rule.slowest = number_of(one.slowest);
    if (one.how === 'all') rule.rate = 1;
    else rule[one.how] = number_of(one.amount);
    const by = split_by(one.by);
    if (by.length > 0) rule.by = by;
    if (one.for.trim()) rule.for = one.for.trim();
    if (one.max_bytes.trim()) rule.max_bytes = one.max_bytes.trim();
    return rule;
  });
  return { recent, keep };
}

export function moved<T>(list: readonly T[], from: number, by: number): T[] {
  const to = from + by;
  if (to < 0 || to >= list.length) return [...list];
  const next = [...list];
  [next[from], next[to]] = [next[to], next[from]];
  return next;
}

// ---- where something is wrong ----

/** What the server says of rules, and what it is about: a setting of a rule, of `recent`, or all of them. */
export interface Problem {
  path: (string | number)[];
  message: string;
  /** Characters into the query of the setting; -1 where it says nothing of that. */
  column: number;
}

export function problem_of(message: string, rules: unknown): Problem {
  const recent = /^recent(?:\.(\w+))?: (.*)$/s.exec(message);
  if (recent) return { path: recent[1] ? ['recent', recent[1]] : ['recent'], message: recent[2], column: -1 };
  const found = /^keep\[(\d+)\]/.exec(message);
  if (!found) return { path: [], message, column: -1 };
  const rule = Number(found[1]);
  const list = is_object(rules) && Array.isArray(rules.keep) ? (rules.keep as unknown[]) : [];
  const name = is_object(list[rule]) && typeof list[rule].name === 'string' ? list[rule].name : '';
  let rest = message.slice(found[0].length);
  // The name may hold anything, so that it is taken from what was sent.
  if (rest.startsWith(` (${name})`)) rest = rest.slice(name.length + 3);
  rest = rest.replace(/^: /, '');
  const setting = /^(\w+): /.exec(rest);
  if (!setting || !kRuleKeys.has(setting[1])) return { path: ['keep', rule], message: rest, column: -1 };
  const place = /\bat line 1, col (\d+)/.exec(rest);
  return { path: ['keep', rule, setting[1]], message: rest.slice(setting[0].length), column: setting[1] === 'match' && place ? Number(place[1]) - 1 : -1 };
}

/** Goes through JSON text; stops at the first character that does not belong there. */
class Scanner {
  at = 0;
  found = -1;
  private readonly text: string;
  private readonly path: (string | number)[];

  constructor(text: string, path: (string | number)[]) {
    this.text = text;
    this.path = path;
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }

  private take(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (!match) return null;
    this.at += match[0].length;
    return match[0];
  }

  private take_string(): string | null {
    const text = this.take(/"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
    return text === null ? null : (JSON.parse(text) as string);
  }

  /** Whether a whole value was there. `depth`: how many steps of the path led to it; -1 where it is beside the path. */
  value(depth: number): boolean {
    this.space();
    if (depth === this.path.length) this.found = this.at;
    const open = this.text[this.at];
    const within = open === '{' || open === '[';
    const ok = within ? this.list(open, depth) : this.take_string() !== null || this.take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y) !== null;
    this.space();
    return ok;
  }

  private list(open: string, depth: number): boolean {
    const close = open === '{' ? '}' : ']';
    this.at++;
    this.space();
    for (let i = 0; ; i++) {
      if (this.text[this.at] === close && i === 0) break;
      let key: string | number = i;
      if (open === '{') {
        const name = this.take_string();
        if (name === null) return false;
        key = name;
        this.space();
        if (this.take(/:/y) === null) return false;
      }
      const is_on_path = depth >= 0 && this.path[depth] === key;
      if (!this.value(is_on_path ? depth + 1 : -1)) return false;
      if (this.text[this.at] === close) break;
      if (this.take(/,/y) === null) return false;
      this.space();
    }
    this.at++;
    return true;
  }
}

export interface TextPlace {
  line: number;
  column: number;
}

function place_at(text: string, at: number): TextPlace {
  const before = text.slice(0, at).split('\n');
  return { line: before.length, column: before[before.length - 1].length + 1 };
}

/** Where a setting is in the text of the rules: its value, or the nearest thing around it that is there. */
export function place_in(text: string, path: readonly (string | number)[]): TextPlace {
  for (let length = path.length; length > 0; length--) {
    const scanner = new Scanner(text, path.slice(0, length));
    scanner.value(0);
    if (scanner.found >= 0) return place_at(text, scanner.found);
  }
  return { line: 1, column: 1 };
}

/** Where text stops being JSON; null where it is JSON to its end. */
export function broken_at(text: string): TextPlace | null {
  const scanner = new Scanner(text, ['']);
  return scanner.value(0) && scanner.at === text.length ? null : place_at(text, scanner.at);
}
