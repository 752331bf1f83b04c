import { useEffect } from 'preact/hooks';
import { count, count_short, duration, percent, rate } from '../../model/format.ts';
import { type Box, count_in } from '../../model/heat.ts';
import { equals, narrow_query } from '../../model/narrow_query.ts';
import { analyse, analysis_error, analysis_note, analysis_sampled, explain_box, explaining, explanation, facets, forget_explanation, heat, query_of_box, red } from '../../state/analysis.ts';
import { page_link } from '../../state/app.ts';
import { Loading } from '../../widgets/bits.tsx';
import { Sampled } from '../../widgets/sampled.tsx';
import { Sparkline } from '../../widgets/sparkline.tsx';
import { box_label, Heatmap } from './heatmap.tsx';
import * as texts from '../../texts/texts.ts';

interface Ask {
  q: string;
  from: bigint;
  to: bigint;
  box: Box | null;
  choose: (box: Box | null) => void;
  /** Searches for another query, over the time of the box where one is given. */
  run: (q: string, box?: Box) => void;
}

/** Heatmap, RED strip and, for a chosen box, what is different in it. */
export function Analysis(props: Ask) {
  const { q, from, to, box } = props;
  useEffect(() => void analyse(q, from, to), [q, from, to]);
  useEffect(() => {
    if (box) void explain_box(q, box, from, to);
    else forget_explanation();
  }, [q, from, to, box?.t0, box?.t1, box?.d0, box?.d1]);

  const error = analysis_error.value;
  if (error) return <p class="card analysis-note muted">{texts.search.no_picture_of_all_spans(error.message)}</p>;
  if (!heat.value) return <div class="card analysis-note"><Loading what={texts.search.counting} /></div>;
  return (
    <div class="card analysis">
      <Heatmap heat={heat.value} box={box} choose={props.choose} />
      {analysis_note.value && <p class="note">{texts.search.counts_are_lower_bounds(analysis_note.value)}</p>}
      <Sampled on={analysis_sampled.value} />
      {box ? <Explain {...props} box={box} /> : <Strip />}
    </div>
  );
}

function Strip() {
  const now = red.value;
  if (!now) return null;
  const sum = (values: number[]): number => values.reduce((all, v) => all + v, 0) * now.step_s;
  const total = sum(now.rate);
  const failed = sum(now.errors);
  const last = (values: (number | null)[]): number => [...values].reverse().find((v) => v !== null) ?? NaN;
  return (
    <div class="red-strip">
      <dl>
        <div><dt>{texts.search.spans_per_second}</dt><dd>{rate(total / Math.max(1, now.rate.length * now.step_s))} <Sparkline values={now.rate} tone="plain" width={150} /></dd></div>
        <div><dt>{texts.search.errors}</dt><dd class={failed ? 'error-text' : ''}>{percent(failed, total)} <Sparkline values={now.errors} tone="error" width={150} /></dd></div>
        <div><dt>p50</dt><dd>{duration(last(now.p50))} <Sparkline values={now.p50} tone="time" width={150} /></dd></div>
        <div><dt>p95</dt><dd>{duration(last(now.p95))} <Sparkline values={now.p95} tone="time" width={150} /></dd></div>
      </dl>
      <p class="hint muted">{texts.search.drag_over_the_slow_part_to}</p>
    </div>
  );
}

const kShown = 10;

function Explain(props: Ask & { box: Box }) {
  const { q, box } = props;
  const found = explanation.value;
  const inside = heat.value ? count_in(heat.value, box) : 0;
  return (
    <section class="explain" aria-label={texts.search.what_is_different_in_the_chosen} aria-busy={explaining.value}>
      <header>
        <h2>{texts.search.what_is_different_here}</h2>
        <span class="muted">{texts.search.spans_in_box(count(inside), box_label(box))}</span>
        <button type="button" onClick={() => props.run(query_of_box(q, box), box)}>{texts.search.search_only_these}</button>
        <button type="button" onClick={() => props.choose(null)}>{texts.search.let_go}</button>
      </header>
      {!found && explaining.value && <Loading what={texts.search.comparing} />}
      {found && found.differences.length === 0 && <p class="muted">{texts.search.nothing_sets_these_spans_apart}</p>}
      {found && found.differences.length > 0 && (
        <table class={explaining.value ? 'stale' : ''}>
          <thead><tr><th scope="col">{texts.search.attribute_and_value}</th><th scope="col">{texts.search.here}</th><th scope="col">{texts.search.elsewhere}</th><th scope="col"><span class="visually-hidden">{texts.search.shares}</span></th><th scope="col"><span class="visually-hidden">{texts.search.actions}</span></th></tr></thead>
          <tbody>
            {found.differences.slice(0, kShown).map((d) => (
              <tr key={d.attribute}>
                <th scope="row"><span class="muted">{d.attribute}</span> = <span class="mono">{d.value}</span></th>
                <td>{percent(d.inside, 1)}</td>
                <td>{percent(d.outside, 1)}</td>
                <td class="bars" aria-hidden="true"><span class="in" style={{ width: `${100 * d.inside}%` }} /><span class="out" style={{ width: `${100 * d.outside}%` }} /></td>
                <td class="actions">
                  <button type="button" class="link" onClick={() => props.run(narrow_query(q, equals(d.attribute, d.value)))}>{texts.search.filter}</button>
                  <button type="button" class="link" onClick={() => props.run(narrow_query(q, equals(d.attribute, d.value, true)))}>{texts.search.exclude}</button>
                  <a href={page_link('/compare', { a: narrow_query(q, equals(d.attribute, d.value)), b: narrow_query(q, equals(d.attribute, d.value, true)) })} title={texts.search.compare_the_spans_with_this_value}>{texts.search.compare}</a>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** The most frequent values of what is usually asked for, counted over every matching span. */
export function Facets(props: { q: string; run: (q: string) => void }) {
  if (facets.value.length === 0) return null;
  return (
    <aside class="facets card" aria-label={texts.search.values}>
      {facets.value.map((facet) => {
        const most = facet.values[0]?.count ?? 1;
        return (
          <details key={facet.key} open={['resource.service.name', 'status', 'name'].includes(facet.key)}>
            <summary>{facet.key.replace(/^(span|resource)\./, '')}</summary>
            <ul>
              {facet.values.map((entry) => (
                <li key={entry.value} style={{ '--share': String(entry.count / most) }}>
                  <button type="button" class="facet" title={texts.search.search_only_these} onClick={() => props.run(narrow_query(props.q, equals(facet.key, entry.value)))}>
                    <span class="facet-value">{entry.value}</span> <span class="muted">{count_short(entry.count)}</span>
                  </button>
                  <button type="button" class="quiet" aria-label={texts.search.exclude_value(entry.value)} title={texts.search.exclude_these} onClick={() => props.run(narrow_query(props.q, equals(facet.key, entry.value, true)))}>−</button>
                </li>
              ))}
            </ul>
          </details>
        );
      })}
    </aside>
  );
}
