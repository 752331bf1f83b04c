import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { type ApiError, is_abort, parse_query } from '../../api/client.ts';
import { lex, type Token } from '../../model/lexer.ts';
import { type Completion, complete_at } from './complete.ts';
import * as texts from '../../texts/texts.ts';

const kParseDelayMs = 80;

interface Problem {
  message: string;
  hint: string;
  at: number | null;
}

/**
 * The TraceQL line: a native text field over a layer of the same text in colours. The server's parser says what is wrong and where;
 * until it answers, a small lexer colours.
 */
export function QueryLine(props: { value: string; change: (q: string) => void; run: (q: string) => void; error: ApiError | null }) {
  const tokens = useSignal<{ text: string; list: Token[] } | null>(null);
  const problem = useSignal<Problem | null>(null);
  const items = useSignal<Completion[]>([]);
  const chosen = useSignal(-1);
  const field = useRef<HTMLTextAreaElement>(null);
  const layer = useRef<HTMLPreElement>(null);
  const asking = useRef(0);
  const text = props.value;

  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      if (!text.trim()) {
        problem.value = null;
        return;
      }
      parse_query(text, stop.signal)
        .then((answer) => {
          if (answer.tokens) tokens.value = { text, list: answer.tokens };
          problem.value = answer.ok ? null : {
            message: answer.message ?? texts.search.the_query_cannot_be_read, hint: answer.hint ?? '',
            at: answer.pos ?? null,
          };
        })
        .catch((error: unknown) => {
          if (!is_abort(error)) problem.value = null; // Without the parser's help the search itself still says what is wrong.
        });
    }, kParseDelayMs);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);

  // The box grows with its text.
  useEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = '0';
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  const suggest = (): void => {
    const element = field.current;
    if (!element || element.selectionStart !== element.selectionEnd) {
      items.value = [];
      return;
    }
    const mine = ++asking.current;
    const value = element.value;
    void complete_at(value, element.selectionStart).then((list) => {
      if (mine !== asking.current || element.value !== value || document.activeElement !== element) return;
      items.value = list;
      chosen.value = -1;
    });
  };

  const accept = (item: Completion): void => {
    const element = field.current;
    if (!element) return;
    asking.current++;
    items.value = [];
    element.focus();
    element.setSelectionRange(item.from, item.to);
    // insertText keeps the browser's own undo; where it is missing the value is set.
    if (!document.execCommand('insertText', false, item.insert)) element.setRangeText(item.insert, item.from, item.to, 'end');
    props.change(element.value);
  };

  const run = (): void => {
    asking.current++;
    items.value = [];
    // What the field holds: Enter may come before the last letters were drawn.
    props.run(field.current?.value ?? text);
  };

  const key = (event: KeyboardEvent): void => {
    const list = items.value;
    if (list.length > 0) {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
      if (step) {
        event.preventDefault();
        chosen.value = chosen.value < 0 && step < 0 ? list.length - 1 : (chosen.value + step + list.length) % list.length;
        return;
      }
      if ((event.key === 'Enter' || event.key === 'Tab') && chosen.value >= 0) {
        event.preventDefault();
        accept(list[chosen.value]);
        return;
      }
      if (event.key === 'Escape') {
        event.preventDefault();
        event.stopPropagation();
        asking.current++;
        items.value = [];
        return;
      }
    }
    if (event.key === 'Escape') {
      // Out of the line, so that letters are keys again.
      event.preventDefault();
      document.getElementById('main')?.focus();
      return;
    }
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      run();
    }
  };

  const server = props.error && props.error.status >= 400 && props.error.status < 500
    ? { message: props.error.message, hint: props.error.hint, at: props.error.pos }
    : null;
  const shown = problem.value ?? server;
  const list = tokens.value?.text === text ? tokens.value.list : lex(text);
  return (
    <div class={`query${shown ? ' wrong' : ''}`}>
      <div class="query-box">
        <pre class="query-layer" ref={layer} aria-hidden="true">
          {colored(text, list, shown?.at ?? null)}
          {'\n'}
        </pre>
        <textarea
          ref={field} class="query-field" rows={1} spellcheck={false} autocomplete="off" autocapitalize="off"
          value={text} aria-label={texts.search.traceql_query} placeholder='{ resource.service.name = "payment" && duration > 500ms }'
          aria-invalid={shown ? true : undefined} aria-describedby={shown ? 'query-problem' : undefined}
          aria-autocomplete="list" aria-haspopup="listbox" aria-controls="query-list"
          aria-activedescendant={chosen.value >= 0 && items.value.length > 0 ? `query-item-${chosen.value}` : undefined}
          onInput={(e) => {
            props.change(e.currentTarget.value);
            suggest();
          }}
          onKeyDown={key}
          onClick={suggest}
          onBlur={() => {
            asking.current++;
            items.value = [];
          }}
        />
        <ul class={`query-list${items.value.length > 0 ? ' open' : ''}`} id="query-list" role="listbox" aria-label={texts.search.suggestions}>
          {items.value.map((item, i) => (
            <li
              key={item.insert} id={`query-item-${i}`} role="option" aria-selected={i === chosen.value}
              onMouseDown={(e) => {
                e.preventDefault();
                accept(item);
              }}
            >
              <span class={`tok-${item.kind}`}>{item.label}</span>
              <span class="muted small">{item.note}</span>
            </li>
          ))}
        </ul>
      </div>
      {shown && text.trim() !== '' && <Explain text={text} problem={shown} />}
    </div>
  );
}

/** The line with the mistake, a caret under it, and the server's sentence. */
function Explain(props: { text: string; problem: Problem }) {
  const { text, problem } = props;
  const at = problem.at;
  const line_start = at === null ? 0 : text.lastIndexOf('\n', Math.max(0, at - 1)) + 1;
  const line = text.slice(line_start).split('\n')[0];
  return (
    <div class="query-problem" id="query-problem" role="status">
      {at !== null && (
        <pre class="caret-lines">
          {line}
          {'\n'}
          {' '.repeat(Math.max(0, at - line_start))}
          <span class="error-text">^</span>
        </pre>
      )}
      <p>
        <span class="error-text" aria-hidden="true">✕ </span>
        {problem.message}
        {at !== null && <span class="muted"> {texts.search.at_character(at - line_start + 1)}</span>}
      </p>
      {problem.hint && <p class="muted">{problem.hint}</p>}
    </div>
  );
}

function colored(text: string, tokens: readonly Token[], wrong: number | null) {
  const out = [];
  let at = 0;
  for (const token of tokens) {
    if (token.from < at || token.to > text.length) continue;
    if (token.from > at) out.push(text.slice(at, token.from));
    const bad = wrong !== null && wrong >= token.from && wrong < token.to;
    out.push(<span class={`tok-${token.kind}${bad ? ' tok-wrong' : ''}`}>{text.slice(token.from, token.to)}</span>);
    at = token.to;
  }
  out.push(text.slice(at));
  return out;
}
