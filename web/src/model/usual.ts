import * as texts from '../texts/texts.ts';

/** What an operation usually takes. */
export interface UsualDurations {
  count: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
}

const key_of = (service: string, name: string, kind: string): string => JSON.stringify([service, name, kind]);

/** The usual of the operations of a trace, for its spans and for its groups. */
export class Usual {
  private readonly by_kind = new Map<string, UsualDurations>();

  constructor(operations: readonly (UsualDurations & { service: string; name: string; kind: string })[]) {
    for (const one of operations) this.by_kind.set(key_of(one.service, one.name, one.kind), one);
  }

  /** Null where the operation was not seen, or only a few times: nothing is usual then. */
  of(service: string, name: string, kind: string): UsualDurations | null {
    const found = this.by_kind.get(key_of(service, name, kind));
    return found && found.count >= kFew ? found : null;
  }
}

/** So many calls before anything of them is called usual. */
export const kFew = 5;

/** How a duration lies beside the usual ones, in words; '' where it is within them. */
export function beside_usual(ns: number, usual: UsualDurations): string {
  if (ns > usual.p95_ns && usual.p95_ns > 0) {
    const factor = ns / usual.p95_ns;
    return factor >= 1.1 ? texts.model.times_the_usual_p95(factor >= 10 ? Math.round(factor) : factor.toFixed(1)) : texts.model.a_little_above_the_usual_p95;
  }
  return usual.p50_ns > 0 && ns < usual.p50_ns / 2 ? texts.model.faster_than_usual : '';
}
