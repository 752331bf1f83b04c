// A time range as it stands in the URL: relative times stay relative.

import * as texts from '../texts/texts.ts';

export interface TimeRange {
  from: string;
  to: string;
}

export const kDefaultRange: TimeRange = { from: 'now-1h', to: 'now' };

export const kPresets: { range: TimeRange; label: string }[] = [
  ['5m', texts.model.last_5_minutes], ['15m', texts.model.last_15_minutes], ['1h', texts.model.last_hour], ['6h', texts.model.last_6_hours],
  ['24h', texts.model.last_24_hours], ['7d', texts.model.last_7_days], ['30d', texts.model.last_30_days],
].map(([span, label]) => ({ range: { from: `now-${span}`, to: 'now' }, label }));

const kUnits: Record<string, bigint> = {
  s: 1000000000n, m: 60000000000n, h: 3600000000000n, d: 86400000000000n, w: 604800000000000n,
};

/** Resolves `now`, `now-15m`, nanoseconds or an ISO date to ns; null when it is none of these. */
export function resolve_time(text: string, now_ns: bigint): bigint | null {
  const value = text.trim();
  if (value === 'now') return now_ns;
  const relative = /^now([+-])(\d{1,9})([smhdw])$/.exec(value);
  if (relative) {
    const span = BigInt(relative[2]) * kUnits[relative[3]];
    return relative[1] === '-' ? now_ns - span : now_ns + span;
  }
  if (/^\d{16,19}$/.test(value)) return BigInt(value);
  if (/^\d{4}-\d{2}-\d{2}/.test(value)) {
    const ms = Date.parse(value);
    if (Number.isFinite(ms)) return BigInt(ms) * 1000000n;
  }
  return null;
}

export function resolve_range(range: TimeRange, now_ns: bigint): { from: bigint; to: bigint } {
  const from = resolve_time(range.from, now_ns);
  const to = resolve_time(range.to, now_ns);
  if (from === null || to === null || from >= to) return resolve_range(kDefaultRange, now_ns);
  return { from: from < 0n ? 0n : from, to };
}

export function is_relative(range: TimeRange): boolean {
  return range.from.startsWith('now') || range.to.startsWith('now');
}

export function range_label(range: TimeRange, show: (ms: number) => string): string {
  const preset = kPresets.find((p) => p.range.from === range.from && p.range.to === range.to);
  if (preset) return preset.label;
  const part = (text: string): string => {
    const ns = /^now/.test(text) ? null : resolve_time(text, 0n);
    return ns === null ? text : show(Number(ns / 1000000n));
  };
  return `${part(range.from)} – ${part(range.to)}`;
}

/** A step that gives about `points` values, rounded to something people read. */
export function step_for(from: bigint, to: bigint, points: number): bigint {
  const rough = Number((to - from) / 1000000000n) / points;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  return BigInt(steps.find((s) => s >= rough) ?? 86400) * 1000000000n;
}
