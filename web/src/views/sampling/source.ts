import type { RulesInForce } from '../../api/keep.ts';
import { ago } from '../../model/format.ts';
import { now_ns } from '../../state/app.ts';
import * as texts from '../../texts/texts.ts';

/** Where rules come from, and which version they are. */
export function source_text(rules: RulesInForce): string {
  if (rules.source !== 'api') return texts.sampling.source[rules.source];
  const changed = rules.changed === null ? 0n : BigInt(rules.changed);
  return texts.sampling.saved_as_version(rules.version, ago(Number((now_ns() - changed) / 1000000n)));
}
