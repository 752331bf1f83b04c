import type { Shown } from './counts.ts';

export const open_a_file = 'Open a file';
export const spanloom = (name: Shown): string => `${name} · spanloom`;
export const read_here_not_sent_to_the = 'read here, not sent to the server';
export const open_a_trace_file = 'Open a trace file';
export const drop_a_file_anywhere_on_this = 'Drop a file anywhere on these pages, or choose one.';
export const what_can_be_opened = 'OTLP JSON (also one request per line), and what Tempo, Jaeger and Zipkin give as JSON. It is read by the browser and not sent anywhere.';
export const choose_a_file = 'Choose a file';
