import type { Shown } from './counts.ts';

export const databases_spanloom = 'Databases · spanloom';
export const databases = 'Databases';
export const adding_up_statements = 'Adding up statements';
export const no_span_of_this_time_range = 'No span of this time range has a statement (';
export const statement = 'Statement';
export const service = 'Service';
export const calls_s = 'Calls/s';
export const mean = 'Mean';
export const errors = 'Errors';
export const share_of_the_time = 'Share of the time';
export const the_first_of_statements = (shown: Shown, statements: Shown): string => `The first ${shown} of ${statements} statements.`;
export const not_everything_was_counted = (partial: Shown): string => `Not everything was counted: ${partial}.`;
export const statements = 'Statements';
