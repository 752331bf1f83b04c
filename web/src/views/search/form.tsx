import { useSignal } from '@preact/signals';
import type { TargetedEvent } from 'preact';
import { useEffect } from 'preact/hooks';
import { fetch_operations } from '../../api/client.ts';
import { condition, kEmptyForm, kOperators, type Operator, parse_duration, type QueryForm, read_form, shown_condition, write_form } from '../../model/query_form.ts';
import { boot } from '../../state/app.ts';
import { Icon, kIcons } from '../../widgets/bits.tsx';
import * as texts from '../../texts/texts.ts';

/** The same query as fields. It writes TraceQL into the line above, and reads the line while it can say everything in it. */
export function Builder(props: { q: string; change: (q: string) => void; run: (q: string) => void }) {
  const form = read_form(props.q);
  const operations = useSignal<string[]>([]);
  const service = form?.service ?? '';
  // A condition without a key is not in the query yet, so it is kept here.
  const draft = useSignal<{ key: string; operator: Operator; value: string }>({ key: '', operator: '=', value: '' });

  useEffect(() => {
    operations.value = [];
    if (!service) return;
    const stop = new AbortController();
    fetch_operations(service, stop.signal)
      .then((list) => (operations.value = [...new Set(list.map((o) => o.name))]))
      .catch(() => undefined); // Without suggestions the field is still a text field.
    return () => stop.abort();
  }, [service]);

  if (!form) {
    return (
      <p class="builder-off muted">
        {texts.search.this_query_says_more_than_the}{' '}
        <button type="button" class="link" onClick={() => props.change('')}>
          {texts.search.start_a_new_one}
        </button>
      </p>
    );
  }
  const set = (part: Partial<QueryForm>): void => props.change(write_form({ ...(form ?? kEmptyForm), ...part }));
  const submit = (event: Event): void => {
    event.preventDefault();
    const next = add_draft();
    props.run(next ?? props.q);
  };
  const add_draft = (): string | null => {
    const { key, operator, value } = draft.value;
    if (!key.trim()) return null;
    const q = write_form({ ...form, conditions: [...form.conditions, condition(key.trim(), operator, value.trim())] });
    draft.value = { key: '', operator: '=', value: '' };
    props.change(q);
    return q;
  };
  return (
    <form class="builder" onSubmit={submit} aria-label={texts.search.query_as_a_form}>
      <label>
        <span>{texts.search.service}</span>
        <select value={form.service} onChange={(e) => set({ service: e.currentTarget.value, operation: '' })}>
          <option value="">{texts.search.any}</option>
          {[...new Set([...(boot.value?.services ?? []), ...(form.service ? [form.service] : [])])].map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="grow">
        <span>{texts.search.operation}</span>
        <OperationInput value={form.operation} change={(operation) => set({ operation })} />
        <datalist id="operations">
          {operations.value.slice(0, 500).map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </label>
      <DurationField label={texts.search.longer_than} value={form.min} change={(min) => set({ min })} />
      <DurationField label={texts.search.shorter_than} value={form.max} change={(max) => set({ max })} />
      <label class="check">
        <input type="checkbox" checked={form.errors} onChange={(e) => set({ errors: e.currentTarget.checked })} />
        <span>{texts.search.with_errors}</span>
      </label>
      <fieldset class="tags">
        <legend>{texts.search.conditions}</legend>
        {form.conditions.map((one, i) => (
          <span class="tag" key={i}>
            <code title={one}>{shown_condition(one)}</code>
            <button type="button" class="quiet" aria-label={texts.search.remove(shown_condition(one))} onClick={() => set({ conditions: form.conditions.filter((_, at) => at !== i) })}>
              <Icon d={kIcons.close} size={12} />
            </button>
          </span>
        ))}
        <input
          type="text" class="tag-key" aria-label={texts.search.attribute} placeholder="user.id" value={draft.value.key}
          onInput={(e) => (draft.value = { ...draft.value, key: e.currentTarget.value })}
        />
        <select
          class="tag-operator" aria-label={texts.search.is_compared_how} value={draft.value.operator}
          onChange={(e) => (draft.value = { ...draft.value, operator: e.currentTarget.value as Operator })}
        >
          {kOperators.map((operator) => (
            <option key={operator} value={operator}>{texts.search.operators[operator]}</option>
          ))}
        </select>
        <input
          type="text" class="tag-value" aria-label={texts.search.value} placeholder="4815" value={draft.value.value}
          onInput={(e) => (draft.value = { ...draft.value, value: e.currentTarget.value })}
        />
        <button type="button" onClick={add_draft} disabled={!draft.value.key.trim()}>
          {texts.search.add}
        </button>
      </fieldset>
      <button type="submit" class="visually-hidden">
        {texts.search.search_with_the_form}
      </button>
    </form>
  );
}

/** A text that is taken when the field is left. Until then what is typed is the field's own: whatever is drawn meanwhile leaves it. */
function use_typed(value: string, take: (text: string) => boolean) {
  const typed = useSignal<string | null>(null);
  return {
    value: typed.value ?? value,
    onInput: (e: TargetedEvent<HTMLInputElement>) => (typed.value = e.currentTarget.value),
    onChange: (e: TargetedEvent<HTMLInputElement>) => {
      const text = e.currentTarget.value;
      typed.value = take(text) ? null : text;
    },
  };
}

function OperationInput(props: { value: string; change: (value: string) => void }) {
  const typed = use_typed(props.value, (text) => {
    props.change(text);
    return true;
  });
  return <input type="text" list="operations" placeholder={texts.search.any} {...typed} />;
}

function DurationField(props: { label: string; value: string; change: (value: string) => void }) {
  const wrong = useSignal(false);
  const typed = use_typed(props.value, (text) => {
    wrong.value = text.trim() !== '' && parse_duration(text) === null;
    if (!wrong.value) props.change(text);
    return !wrong.value;
  });
  return (
    <label class="short">
      <span>{props.label}</span>
      <input
        type="text" placeholder="500ms" aria-invalid={wrong.value ? true : undefined}
        title={wrong.value ? texts.search.a_number_and_a_unit_as : undefined} {...typed}
      />
    </label>
  );
}
