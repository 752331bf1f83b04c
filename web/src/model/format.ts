import { count } from '../texts/counts.ts';
import * as texts from '../texts/texts.ts';

/** Three significant digits, no trailing zeros. */
function digits(value: number): string {
  const text = value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** A duration for people: 840 ms, 1.42 s, 3 min 20 s. */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return '–';
  const sign = ns < 0 ? '−' : '';
  const value = Math.abs(ns);
  if (value === 0) return '0';
  if (value < 1e3) return `${sign}${Math.round(value)} ns`;
  if (value < 999.5e3) return `${sign}${digits(value / 1e3)} µs`;
  if (value < 999.5e6) return `${sign}${digits(value / 1e6)} ms`;
  if (value < 60e9) return `${sign}${digits(value / 1e9)} s`;
  const two = (whole: number, per: number, large: string, small: string): string =>
    `${sign}${Math.floor(whole / per)} ${large}${whole % per ? ` ${whole % per} ${small}` : ''}`;
  const seconds = Math.round(value / 1e9);
  if (seconds < 3600) return two(seconds, 60, 'min', 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return two(minutes, 60, 'h', 'min');
  return two(Math.round(minutes / 60), 24, 'd', 'h');
}

const kUnitNs: Record<string, number> = { ns: 1, us: 1e3, 'µs': 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9, d: 86400e9, w: 604800e9 };

/** A duration as configurations write it (336h, 1m30s), in ns; null where it is none. */
export function duration_in(text: string): number | null {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhdw]))+$/.test(text)) return null;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|[smhdw])/g)].reduce((sum, [, number, unit]) => sum + Number(number) * kUnitNs[unit], 0);
}

/** The same for people: 336h is 14 d, 24h stays 24 h. */
export function duration_for_people(text: string): string {
  const ns = duration_in(text);
  if (ns === null) return text;
  const hours = ns / kUnitNs.h;
  return hours >= 1 && hours < 48 && Number.isInteger(hours) ? `${hours} h` : duration(ns);
}

/** The same as a configuration takes it, in days where it is some days: 336h is 14d. */
export function short_duration(text: string): string {
  const days = (duration_in(text) ?? 0) / kUnitNs.d;
  return days >= 2 && Number.isInteger(days) ? `${days}d` : text;
}

/** The same with units written out, for screen readers. */
export function duration_spoken(ns: number): string {
  return duration(ns).replace(/(ns|µs|ms|min|s|h|d)\b/g, (unit) => texts.model.units_spoken[unit] ?? unit);
}

export { count };

/** 1,240 · 12.4 k · 3.1 M */
export function count_short(value: number): string {
  if (value < 10000) return count(value);
  if (value < 999500) return `${digits(value / 1e3)} k`;
  if (value < 999.5e6) return `${digits(value / 1e6)} M`;
  return `${digits(value / 1e9)} G`;
}

export function rate(value: number): string {
  if (value === 0) return '0';
  if (value < 0.01) return '< 0.01';
  return value >= 10000 ? count_short(value) : digits(value);
}

export function percent(part: number, whole: number): string {
  if (whole <= 0) return '–';
  const value = (100 * part) / whole;
  if (value === 0) return '0 %';
  if (value < 0.01) return '< 0.01 %';
  if (value > 99.9 && value < 100) return '> 99.9 %';
  return `${digits(value)} %`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  if (value < 999.5e3) return `${digits(value / 1e3)} kB`;
  if (value < 999.5e6) return `${digits(value / 1e6)} MB`;
  return `${digits(value / 1e9)} GB`;
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

let in_utc = false;

/** Times are written in UTC, or in the time of this computer. */
export function write_times_in_utc(on: boolean): void {
  in_utc = on;
}

/** The moment moved so that the UTC parts of a Date are those to be shown. */
function shown(ms: number): Date {
  const date = new Date(ms);
  return in_utc || Number.isNaN(ms) ? date : new Date(ms - date.getTimezoneOffset() * 60_000);
}

export function clock(ms: number): string {
  const date = shown(ms);
  return `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;
}

export function day_and_clock(ms: number): string {
  const date = shown(ms);
  return `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())} ${clock(ms)}`;
}

/** The exact time, with its nanoseconds. */
export function exact_time(ns: bigint): string {
  const ms = Number(ns / 1000000n);
  const fraction = String(((ns % 1000000000n) + 1000000000n) % 1000000000n).padStart(9, '0');
  return `${day_and_clock(ms)}.${fraction}`;
}

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 5) return texts.model.just_now;
  if (seconds < 60) return texts.model.ago(`${seconds} s`);
  if (seconds < 3600) return texts.model.ago(`${Math.floor(seconds / 60)} min`);
  if (seconds < 86400) return texts.model.ago(`${Math.floor(seconds / 3600)} h`);
  return texts.model.ago(`${Math.floor(seconds / 86400)} d`);
}
