import type { Shown } from './counts.ts';

export const errors_spanloom = 'Errors · spanloom';
export const errors = 'Errors';
export const counting_errors = 'Counting errors';
export const no_span_failed_in_this_time = 'No span failed in this time range.';
export const error = 'Error';
export const service_and_operation = 'Service and operation';
export const count = 'Count';
export const over_time = 'Over time';
export const first = 'First';
export const last = 'Last';
export const failed_without_an_exception = 'failed, without an exception';
export const of_errors_first_and_last_inside = (answer: Shown): string => `${answer} of errors. First and last: inside the chosen time range.`;
