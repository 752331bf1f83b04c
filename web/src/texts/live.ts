import type { Shown } from './counts.ts';

export const live_spanloom = (q: string): string => `${q ? `${q} · ` : ''}Live · spanloom`;
export const live = 'Live';
export const filter = 'Filter';
export const go_on = 'Go on';
export const pause = 'Pause';
export const space = 'Space';
export const waiting_for_the_server = 'Waiting for the server';
export const paused_at = (asked_at: Shown): string => `Paused at ${asked_at}.`;
export const following_last_looked_at = (asked_at: Shown): string => `Following, last looked at ${asked_at}.`;
export const listening = 'Listening…';
export const more_arrives_than_can_be_read = (per_tick: Shown): string => `More arrives than can be read: only the newest ${per_tick} of each look are shown.`;
export const older_ones_have_left_this_page = 'Older ones have left this page; Search has them.';
export const root_not_received = 'root not received';
