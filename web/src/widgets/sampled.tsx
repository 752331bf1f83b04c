import { page_link } from '../state/app.ts';
import * as texts from '../texts/texts.ts';

/** Said beside counts of which some spans stand for more than themselves. */
export function Sampled(props: { on: boolean }) {
  if (!props.on) return null;
  return (
    <p class="note small sampled-note">
      {texts.frame.counts_are_estimates} <a href={page_link('/sampling')}>{texts.frame.sampling_word}</a>
    </p>
  );
}
