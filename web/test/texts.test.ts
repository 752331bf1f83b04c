// What people read stands in src/texts: no other file has a text of its own.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'vite';
import { counts, words } from '../src/texts/counts.ts';
import * as texts from '../src/texts/texts.ts';

const source = join(fileURLToPath(import.meta.url), '../../../../src'); // the compiled test lies in .unit/web/test

interface Node {
  type: string;
  start: number;
  end: number;
  [key: string]: unknown;
}

const kShownAttributes = new Set(['aria-label', 'title', 'placeholder', 'label', 'what', 'aria-description', 'aria-roledescription', 'alt', 'empty', 'mine', 'other']);
const kCode = new Set(['code', 'kbd', 'pre', 'samp']);
/** Attributes whose strings are for the browser. */
const kUnshown = new Set(['class', 'key', 'style', 'href', 'id', 'd', 'type', 'role', 'points', 'viewBox', 'transform', 'accept', 'rel', 'target', 'name', 'value', 'list', 'aria-labelledby', 'aria-controls']);

/** Names, units, keys and code are the same in every language. */
const kSame = /^(spanloom|Go|Java|Python|Node\.js|\.NET|Rust|Ruby|PHP|Collector|curl|UTC|TraceQL|OTLP|GET|POST|Ctrl K|p50|p95|ns|µs|ms|s|min|h|d|k|M|G|B|kB|MB|GB|\d+ms|https?:\S*|\{.*\}|[a-z0-9_]+([.:/=?-][a-z0-9_{}=?*]+)+|[a-z]+:|\.\*?)$/s;
const is_word = (text: string): boolean => /[A-Za-z]{2}/.test(text) && text.trim().split(/[\s·–,()×÷▲▼]+/).some((part) => /[A-Za-z]{2}/.test(part) && !kSame.test(part)) && !kSame.test(text.trim());
/** Two words of a sentence; not queries, not code, not drawing. */
const is_prose = (text: string): boolean =>
  /[A-Za-z]{2,}[,.:;]? [A-Za-z]{2,}/.test(text) && !/[{}|<>=\\]|&&|_|::|\bpx\b|[a-z]?\([a-z]|^PgUp PgDn$|^Home End$/.test(text);

class Finder {
  readonly found: string[] = [];
  private readonly code: string;

  constructor(code: string) {
    this.code = code;
  }

  private children(node: Node): Node[] {
    return Object.entries(node).flatMap(([key, value]) => {
      if (key === 'parent') return [];
      const list = Array.isArray(value) ? value : [value];
      return list.filter((one): one is Node => typeof (one as Node | null)?.type === 'string' && typeof (one as Node).start === 'number');
    });
  }

  private note(node: Node, text: string): void {
    this.found.push(`line ${this.code.slice(0, node.start).split('\n').length}: ${text.trim().slice(0, 80)}`);
  }

  /** `shown`: what the expression comes to is seen. `code`: it is inside an element for code. */
  walk(node: Node, shown: boolean, code: boolean): void {
    const each = (list: Node[], is_shown = false): void => list.forEach((one) => this.walk(one, is_shown, code));
    switch (node.type) {
      case 'ImportDeclaration':
        return;
      case 'JSXText':
        if (!code && is_word(String(node.value))) this.note(node, String(node.value));
        return;
      case 'JSXElement': {
        const open = node.openingElement as Node;
        const is_code = code || kCode.has(String((open.name as Node).name));
        this.walk(open, false, code);
        (node.children as Node[]).forEach((one) => this.walk(one, one.type === 'JSXExpressionContainer', is_code));
        return;
      }
      case 'JSXOpeningElement': {
        const is_component = /^[A-Z]/.test(String((node.name as Node).name));
        for (const attribute of node.attributes as Node[]) {
          const name = String((attribute.name as Node | undefined)?.name ?? '');
          const value = attribute.value as Node | null;
          const is_shown = kShownAttributes.has(name) || (is_component && (name === 'name' || name === 'value'));
          if (value && (is_shown || !kUnshown.has(name))) this.walk(value, is_shown, false);
        }
        return;
      }
      case 'Literal': {
        const text = node.value;
        if (typeof text === 'string' && !code && (shown ? is_word(text) : is_prose(text))) this.note(node, text);
        return;
      }
      case 'TemplateLiteral': {
        const text = (node.quasis as Node[]).map((one) => (one.value as { cooked: string }).cooked).join(' 0 ');
        if (!code && (shown ? is_word(text) && !/^\s*\{/.test(text) : is_prose(text))) this.note(node, text);
        return each(node.expressions as Node[], shown);
      }
      case 'ConditionalExpression':
        this.walk(node.test as Node, false, code);
        return each([node.consequent as Node, node.alternate as Node], shown);
      case 'LogicalExpression':
        this.walk(node.left as Node, false, code);
        return this.walk(node.right as Node, shown, code);
      case 'BinaryExpression':
        return each([node.left as Node, node.right as Node], shown && node.operator === '+');
      case 'JSXExpressionContainer':
      case 'ParenthesizedExpression':
        return each(this.children(node), shown);
      case 'CallExpression': {
        const callee = node.callee as Node;
        const name = String(callee.name ?? (callee.property as Node | undefined)?.name ?? '');
        this.walk(callee, false, code);
        return each(node.arguments as Node[], name === 'announce');
      }
      case 'NewExpression':
        return each(node.arguments as Node[], /Error$/.test(String((node.callee as Node).name)));
      case 'AssignmentExpression': {
        const left = node.left as Node;
        const property = String((left.property as Node | undefined)?.name ?? '');
        if (property === 'className') return;
        return this.walk(node.right as Node, property === 'textContent' || property === 'title', code);
      }
      case 'Property': {
        const key = node.key as Node;
        if (key.name === 'code') return; // snippets of the welcome page
        return this.walk(node.value as Node, ['label', 'note', 'problem', 'words', 'detail'].includes(String(key.name)), code);
      }
      default:
        if (node.type.startsWith('TS') && !['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression'].includes(node.type)) return;
        return each(this.children(node));
    }
  }
}

export function literals_of(code: string, file: string): string[] {
  const finder = new Finder(code);
  (parseAst(code, { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file).body as unknown as Node[]).forEach((node) => finder.walk(node, false, false));
  return finder.found;
}

function files_of(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === 'texts' ? [] : files_of(path);
    return /\.tsx?$/.test(name) ? [path] : [];
  });
}

test('no file but those of texts has a text that people read', () => {
  const files = files_of(source);
  assert.ok(files.length > 80, `${files.length} files`);
  const found = files.flatMap((file) => literals_of(readFileSync(file, 'utf8'), file).map((one) => `${file.slice(source.length + 1)} ${one}`));
  assert.deepEqual(found, []);
});

test('every text is used', () => {
  const code = files_of(source).map((file) => readFileSync(file, 'utf8')).join('\n');
  const unused = Object.entries(texts).filter(([area]) => area !== 'counts' && area !== 'words').flatMap(([area, all]) => Object.keys(all).filter((key) => !new RegExp(`texts\\.${area}\\.${key}\\b`).test(code)).map((key) => `${area}.${key}`));
  assert.deepEqual(unused, []);
});

test('a text is found wherever it can stand', () => {
  const page = (body: string): string => `export function Page(props: { n: number }) { return (${body}); }`;
  for (const body of [
    '<p>Hello</p>', '<p title="Close it" />', '<p>{props.n ? "none" : ""}</p>', '<p>{`${props.n} spans`}</p>', '<p>{props.n > 1 && "many"}</p>', '<Loading what={props.n ? "Counting" : ""} />', '<p>{"a" + " word"}</p>', '<Service name={props.n ?? "unknown"} />',
  ]) assert.equal(literals_of(page(body), 'page.tsx').length, 1, body);
  for (const line of ['announce("saved")', 'throw new ApiError(0, "gone")', 'element.textContent = "Span"', 'const said = n ? "nothing was found" : ""', 'list.push({ label: "Home" })']) {
    assert.equal(literals_of(line, 'state.ts').length, 1, line);
  }
  for (const body of ['<p class="muted small">{props.n}</p>', '<input name="from" />', '<code>db.query.text</code>', '<p>{`×${props.n}`}</p>', '<p>p50 {props.n} ms</p>', '<a href="/search">{texts.search.search}</a>', '<p>{q("{ status = error }")}</p>']) {
    assert.deepEqual(literals_of(page(body), 'page.tsx'), [], body);
  }
});

test('numbers take the word that goes with them', () => {
  assert.deepEqual([0, 1, 2, 1240].map(counts.spans), ['0 spans', '1 span', '2 spans', '1,240 spans']);
  assert.deepEqual([1, 3].map(counts.matches), ['1 match', '3 matches']);
  assert.deepEqual([1, 3].map(words.services), ['service', 'services']);
});
