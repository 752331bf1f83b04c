// Every text of the UI, by page, in English. A translation is a folder with the same exports in place of this one: the UI is then built once
// for each language. Names of exports are not in what is built, and numbers go through counts.ts.

export * as compare from './compare.ts';
export * as databases from './databases.ts';
export * as errors from './errors.ts';
export * as file from './file.ts';
export * as frame from './frame.ts';
export * as home from './home.ts';
export * as live from './live.ts';
export * as map from './map.ts';
export * as model from './model.ts';
export * as sampling from './sampling.ts';
export * as search from './search.ts';
export * as service from './service.ts';
export * as settings from './settings.ts';
export * as state from './state.ts';
export * as trace from './trace.ts';
export * as welcome from './welcome.ts';
export { counts, words } from './counts.ts';
