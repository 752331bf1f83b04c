import type { Shown } from './counts.ts';

export const sampling_spanloom = 'Sampling · spanloom';
export const sampling = 'Sampling';
export const asking_for_the_rules = 'Asking for the rules';
export const what_it_is = 'Every trace is kept while it is recent. When an hour of data ages, the first rule that matches a whole trace decides whether it stays; what no rule matches goes.';

// ---- rules in force ----
export const rules_in_force = 'Rules in force';
export const source: Record<string, string> = { default: 'by default: nobody has set others', file: 'from the configuration', api: 'saved here' };
export const saved_as_version = (version: Shown, when: string): string => `saved here, version ${version}, ${when}`;
export const of_rules_then = { default: 'those by default', file: 'those of the configuration' };
export const version = (version: Shown): string => `saved, version ${version}`;
export const recent_for = (time: Shown): string => `Recent traces all stay for ${time}`;
export const recent_until_full = 'Recent traces all stay until there is no room';
export const recent_disk = (size: Shown): string => `, and may take ${size}`;
export const kept_for = (time: Shown): string => `What rules keep stays for ${time} where a rule says nothing else.`;
export const kept_until_full = 'What rules keep stays until there is no room where a rule says nothing else.';
export const disk_full = (share: Shown): string => `There is no room when the disk is ${share} % full: then recent traces give way until they have half of it, then the oldest of what was kept goes.`;
export const rule = 'Rule';
export const which_traces = 'Which traces';
export const how_many_stay = 'How many stay';
export const for_how_long = 'For how long';
export const every_trace = 'every trace';
export const all_of_them = 'all';
export const none_of_them = 'none';
export const share_of_them = (share: string): string => `${share} of them`;
export const per_second = (number: Shown): string => `${number} a second`;
export const shared_out_by = (keys: string): string => `, shared out fairly by ${keys}`;
export const for_each = (number: Shown, keys: string): string => `${number} a second for each ${keys}`;
export const slowest_by = (share: string, keys: string): string => (keys ? `the slowest ${share} of each ${keys}` : `the slowest ${share}`);
export const at_most_size = (size: Shown): string => `, at most ${size}`;
export const and_word = ' and ';
export const as_retention = 'as retention says';
export const no_rules = 'There is no rule: nothing that ages stays.';
export const edit = 'Edit';
export const edit_rules = 'Edit the rules';
export const try_them = 'What would they keep?';
export const give_up = 'Back to the configuration';
export const rules_given_up = 'the rules of the configuration are in force';
export const give_up_question = 'The saved rules are given up, and those of the configuration are in force at once.';
export const give_up_yes = 'Give them up';
export const are_other_by_now = 'The rules are other ones by now: they are shown as they are.';
export const keep_them = 'Keep them';

// ---- editing ----
export const editing = 'Edit rules';
export const rules_as = 'Rules as';
export const form = 'Form';
export const text = 'Text';
export const rules_as_text = 'Rules as text';
export const text_hint = 'JSON, as the API takes it. The same text can stand in the configuration file.';
export const no_fields = 'The form has no fields for what is in the text: correct it here.';
export const not_json = 'this is not JSON: something else is expected here, or the text ends too early';
export const at_place = (line: Shown, column: Shown, message: string): string => `Line ${line}, column ${column}: ${message}`;
export const recent_for_field = 'Recent traces stay for';
export const recent_disk_field = 'and may take';
export const rule_number = (number: Shown): string => `Rule ${number}`;
export const name = 'Name';
export const match = 'Which traces (TraceQL)';
export const keep = 'Keep';
export const how: Record<string, string> = { all: 'all of them', rate: 'this share (0 to 1)', per_second: 'so many a second', per_key: 'so many a second for each value' };
export const amount = 'How much';
export const by = 'By attributes of the root';
export const no_limit = 'no limit';
export const retention = 'retention';
export const until_no_room = 'until no room';
export const slowest = 'Only the slowest (0 to 1)';
export const for_field = 'For';
export const max_bytes = 'At most';
export const move_up = (name: Shown): string => `Move ${name} up`;
export const move_down = (name: Shown): string => `Move ${name} down`;
export const remove_rule = (name: Shown): string => `Remove ${name}`;
export const this_rule = 'this rule';
export const add_rule = 'Add a rule';
export const preview = 'Preview';
export const save = 'Save';
export const cancel = 'Cancel';
export const rules_saved = (version: Shown): string => `the rules are in force, as version ${version}`;
export const saved_meanwhile = 'Someone saved other rules meanwhile';
export const what_now = 'Below are those in force now. Yours are still in the form and have changed nothing.';
export const replace_theirs = 'Replace them with mine';
export const take_theirs = 'Take them, drop mine';

// ---- preview ----
export const would_keep = 'What these rules would keep';
export const nothing_is_changed = 'This is a preview: nothing has been changed.';
export const judging = 'Judging every recent trace';
export const saving = 'Saving';
export const only_the_chosen_time = 'Judge only the chosen time range';
export const no_undecided = 'There is no trace to judge: none is stored that no rule has decided about yet.';
export const judged = (traces: string, from: string, to: string): string => `All ${traces} that no rule has decided about yet were judged, from ${from} to ${to}.`;
export const traces = 'Traces';
export const spans = 'Spans';
export const bytes = 'Bytes';
export const with_errors = 'Traces with errors';
export const of_them = (kept: Shown, all: Shown): string => `${kept} of ${all}`;
export const a_day = (size: Shown): string => `${size} a day would stay`;
export const lasts = 'The disk would do for';
export const days = (days: Shown): string => `about ${days} days`;
export const not_known = 'not known';
export const by_rule = 'By rule';
export const by_service = 'By service of the root';
export const by_search = 'By saved search';
export const search = 'Search';
export const searches_find_nothing = (number: number): string => (number === 1 ? 'A saved search would find nothing any more of what it finds now.' : `${number} saved searches would find nothing any more of what they find now.`);
export const searches_find_less = (number: number): string => (number === 1 ? 'A saved search would find fewer traces.' : `${number} saved searches would find fewer traces.`);
export const searches_find_all = 'Saved searches would find all that they find now.';
export const searches_left_out = (names: string): string => `Not judged, as they find no traces or are too many: ${names}.`;
export const no_rule_matches = 'no rule matches';
export const service = 'Service';
export const stay = 'Stay';
export const bytes_stay = 'Bytes that stay';
export const share = 'Share';
export const root_not_received = 'root not received';
export const more_services = (number: Shown): string => `and ${number} more services`;

// ---- decisions ----
export const why_kept_or_dropped = 'Why was a trace kept or dropped?';
export const decisions_known_for = (time: Shown): string => `Each decision is known for ${time}.`;
export const trace_id = 'Trace id';
export const ask = 'Ask';
export const not_an_id = 'a trace id has 32 digits 0 to 9, a to f';
export const looking_it_up = 'Looking it up';
export const open_the_trace = 'Open the trace';
export const dropped = (when: string, rule: string, one_in: string): string => `Dropped ${when} ${rule}${one_in}.`;
export const kept = (when: string, rule: string, one_in: string): string => `Kept ${when} ${rule}${one_in}.`;
export const by_the_rule = (rule: Shown): string => `by the rule “${rule}”`;
export const as_no_rule_matched = 'as no rule matched';
export const which_keeps_none = ', which keeps none';
export const which_keeps_one_in = (number: Shown): string => `, which kept 1 in ${number}`;
export const is_recent = 'Recent: every trace stays until its hour ages. Its fate is not decided yet.';
export const is_stored = 'Stored; why it was kept is not known any more.';
export const is_unknown_since = (since: string): string => `Not stored, and not decided about since ${since}: it never came, or went before that.`;
export const is_unknown = 'Not stored, and no trace was dropped yet: it never came.';
export const is_gone_since = 'It is gone since, by retention.';
export const is_pinned = 'It is pinned: it stays for ever.';
export const is_ambiguous = 'Decisions are noted by a hash of the id, and another trace has the same: either may be meant.';
export const came_late = (times: Shown): string => `Spans came late, ${times}; they follow what was decided.`;

// ---- sent on ----
export const sent_on = 'Sent on';
export const sent_nothing_yet = 'Nothing was sent yet.';
export const sent_not_since = (since: string): string => `Not sent since ${since}.`;
export const sent_not_decided = 'Not decided yet: it waits for more of the trace.';
export const sent_not_chosen = (when: string): string => `Not sent: the target’s rules did not choose it, ${when}.`;
export const sent_waits = (when: string, problem: string): string => `Waits to be sent, chosen ${when}${problem ? ` (${problem})` : ''}.`;
export const sent_ends = {
  sent: (when: string): string => `Sent ${when}.`,
  partly_sent: (when: string): string => `Sent ${when} in a request of which some spans were rejected.`,
  dead_letter: (when: string): string => `Refused for good ${when}; it is in the dead letters.`,
  refused: (when: string): string => `Refused for good ${when}; there was no room in the dead letters.`,
  gone: (when: string): string => `Not stored any more when it was to be sent, ${when}.`,
  given_up: (when: string): string => `Given up ${when}: too many waited.`,
};
export const sent_chosen = (rule: Shown, one_in: string): string => `Chosen by the rule “${rule}”${one_in}.`;
export const sent_spans = (spans: number): string => (spans === 1 ? 'One span.' : `${spans} spans.`);
export const sent_late_spans = (spans: number): string => (spans === 1 ? 'One span that came late.' : `${spans} spans that came late.`);
export const when = 'When';
export const decided_by = 'Rule';
export const rules_word = 'Rules';
export const threshold = 'Threshold';
export const threshold_none = 'none passes';
export const threshold_all = 'all pass';
export const stands_for = 'Stands for';
export const stands_for_traces = (number: Shown): string => `${number} traces like it`;
export const for_itself = 'itself';
export const duration = 'Duration';
export const error = 'Error';
export const yes = 'yes';
export const no = 'no';
export const about = (value: string): string => `about ${value}`;
export const stored_now = 'Spans stored now';

// ---- pins ----
export const pinned_traces = 'Pinned traces';
export const pins = 'Pins';
export const none_pinned = 'None. Pin on the page of a trace keeps it for ever, whatever rules, age and disk say.';
export const pinned_stay = 'They stay for ever, whatever rules, age and disk say.';
export const trace = 'Trace';
export const pinned_when = 'Pinned';
export const reason = 'Reason';
export const let_go = 'Let go';
export const let_go_of = (trace: Shown): string => `Let go of ${trace}`;

// ---- what spans stand for ----
export const what_spans_stand_for = 'What spans stand for';
export const not_everything_was_counted = (partial: Shown): string => `Not everything was counted: ${partial}`;
export const no_span_came_in_this_time = 'No span came in this time range.';
export const every_span_stands_for_itself = (services: Shown): string => `Each span of ${services} stands for itself: nothing of this time was sampled.`;
export const sampled_before_or_here = 'Sampled by their senders, who say so in the trace state (';
export const or_by_rules = '), or by rules here. Counts of TraceQL metrics weigh each span by what it stands for.';
export const sampled = 'Sampled';
export const spans_stored = 'Spans stored';
export const stand_for = 'Stand for';
export const one_in = (weighted: Shown): string => `1 in ${weighted}`;
export const services_that_sampled = 'Services with sampled spans';
