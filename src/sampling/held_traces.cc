#include "sampling/held_traces.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "otlp/tracestate.h"
#include "store/group_reader.h"
#include "traceql/trace_match.h"

namespace spanloom::sampling {
namespace {

using store::Segment;

constexpr size_t kMatchBytesMax = 32U << 20;  // of rows decoded at a time

}  // namespace

HeldTraces::HeldTraces(const KeepRules& rules) : rules_(rules) {
    for (const KeepRule& rule : rules.keep) {
        const bool compares = rule.slowest || rule.rate_kind != KeepRule::Rate::kShare;
        compares_traces_ |= compares;
        needs_keys_ |= rule.slowest.has_value() || !rule.by.empty();
        durations_.push_back(rule.query == nullptr ? std::nullopt : duration_test(*rule.query));
        if (rule.query == nullptr || durations_.back()) continue;
        const traceql::TraceMatch match(*rule.query, {}, kMatchBytesMax, nullptr);
        const size_t number = durations_.size() - 1;
        if (!match.is_by_fragment()) rules_of_wholes_ |= uint64_t{1} << number;
    }
}

std::optional<HeldTraces::DurationTest> HeldTraces::duration_test(const traceql::Query& query) {
    using traceql::Expression;
    if (query.stages.size() != 1 || query.arithmetic) return std::nullopt;
    const traceql::Spanset& spanset = query.stages.front().spanset;
    if (spanset.kind != traceql::Spanset::Kind::kFilter || !spanset.filter) return std::nullopt;
    const Expression& filter = *spanset.filter;
    const bool is_order =
        filter.op == traceql::Operator::kGreater || filter.op == traceql::Operator::kGreaterEqual ||
        filter.op == traceql::Operator::kLess || filter.op == traceql::Operator::kLessEqual;
    if (filter.kind != Expression::Kind::kBinary || !is_order) return std::nullopt;
    const Expression& field = filter.operands[0];
    const Expression& bound = filter.operands[1];
    const bool is_duration = field.kind == Expression::Kind::kField && !field.is_parent &&
                             field.field.scope == store::Scope::kIntrinsic &&
                             field.field.intrinsic == store::Intrinsic::kTraceDuration &&
                             bound.kind == Expression::Kind::kLiteral &&
                             bound.literal.kind == store::ValueKind::kDuration &&
                             bound.literal.integer >= 0;
    if (!is_duration) return std::nullopt;
    return DurationTest{filter.op, static_cast<uint64_t>(bound.literal.integer)};
}

bool HeldTraces::DurationTest::matches(const Held& held) const {
    const uint64_t taken = held.end_ns - held.start_ns;
    switch (op) {
        case traceql::Operator::kGreater:
            return taken > ns;
        case traceql::Operator::kGreaterEqual:
            return taken >= ns;
        case traceql::Operator::kLess:
            return taken < ns;
        default:
            return taken <= ns;
    }
}

Result<std::vector<uint64_t>> HeldTraces::rules_of(const std::shared_ptr<const Segment>& segment) {
    std::vector<uint64_t> rules(segment->fragment_count());
    for (size_t rule = 0; rule < rules_.keep.size(); ++rule) {
        if (rules_.keep[rule].query == nullptr || durations_[rule]) continue;
        traceql::TraceMatch match(*rules_.keep[rule].query, {&segment, 1}, kMatchBytesMax, nullptr);
        TRY_ASSIGN(const std::vector<uint8_t> found, match.candidates(0));
        for (size_t index = 0; index < found.size(); ++index)
            rules[index] |= uint64_t{found[index] != 0} << rule;
    }
    TRY(note_randomness(*segment));
    return rules;
}

// Senders may say the randomness themselves. Those that do say it of every span.
Result<void> HeldTraces::note_randomness(const Segment& segment) {
    const auto columns = segment.columns();
    for (uint32_t column = 0; column < columns.size(); ++column) {
        const store::ColumnKey& key = columns[column];
        const bool is_state =
            key.table == store::Table::kSpans && key.intrinsic == store::Intrinsic::kTraceState;
        if (!is_state || !segment.has_values(column)) continue;
        uint32_t index = 0;
        for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
            TRY_ASSIGN(const auto states, segment.read(column, group));
            std::vector<std::optional<uint64_t>> said;
            for (const std::string_view state : states->strings)
                said.push_back(otlp::SamplingState::parse(state).randomness);
            for (size_t i = 0; i < states->codes.size(); ++i) {
                if (!said[states->codes[i]]) continue;
                const uint32_t row = segment.row_groups()[group].first_row +
                                     (states->dense ? static_cast<uint32_t>(i) : states->rows[i]);
                store::TraceFragment fragment;
                do {
                    TRY_ASSIGN(fragment, segment.fragment(index));
                } while (row >= fragment.first_row + fragment.rows && ++index > 0);
                randomness_[fragment.trace_id] = *said[states->codes[i]];
            }
        }
    }
    return {};
}

void HeldTraces::add(const TraceId& id, const Held& held) {
    const auto [at, is_new] = traces_.try_emplace(id, held);
    if (is_new) return note_arrival(id, held, true);
    const bool is_earlier = held.since_ds < at->second.since_ds;
    at->second.rules |= held.rules;
    at->second.since_ds = std::min(at->second.since_ds, held.since_ds);
    at->second.arrival_s = std::min(at->second.arrival_s, held.arrival_s);
    at->second.start_ns = std::min(at->second.start_ns, held.start_ns);
    at->second.end_ns = std::max(at->second.end_ns, held.end_ns);
    note_arrival(id, at->second, is_earlier);
}

void HeldTraces::note_arrival(const TraceId& id, const Held& held, bool is_new) {
    Arrivals& arrivals = arrivals_[held.since_ds];
    if (is_new) arrivals.ids.push_back(id);
    arrivals.arrival_s = std::min(arrivals.arrival_s, held.arrival_s);
}

std::optional<uint32_t> HeldTraces::oldest_arrival_s(uint32_t after_ds) const {
    std::optional<uint32_t> oldest;
    for (auto at = arrivals_.upper_bound(after_ds); at != arrivals_.end(); ++at)
        oldest = std::min(oldest.value_or(UINT32_MAX), at->second.arrival_s);
    return oldest;
}

std::vector<HeldTraces::Due> HeldTraces::due(uint32_t until_ds) const {
    std::vector<Due> due;
    const auto end = arrivals_.upper_bound(until_ds);
    for (auto at = arrivals_.begin(); at != end; ++at) {
        for (const TraceId& id : at->second.ids) {
            const auto trace = traces_.find(id);
            const bool is_here = trace != traces_.end() && trace->second.since_ds == at->first;
            if (is_here) due.push_back({id, trace->second});
        }
    }
    // The oldest first, so that they are sent in that order; and the same every time.
    std::sort(due.begin(), due.end(), [](const Due& a, const Due& b) {
        return a.held.since_ds != b.held.since_ds ? a.held.since_ds < b.held.since_ds : a.id < b.id;
    });
    // One that was decided about and came again may be noted twice.
    const auto is_same = [](const Due& a, const Due& b) { return a.id == b.id; };
    due.erase(std::unique(due.begin(), due.end(), is_same), due.end());
    return due;
}

uint32_t HeldTraces::time_of_oldest(size_t count) const {
    std::vector<uint32_t> times;
    for (const auto& [id, held] : traces_)
        times.push_back(held.since_ds);
    if (times.empty()) return 0;
    const auto at =
        times.begin() + static_cast<ptrdiff_t>(std::clamp<size_t>(count, 1, times.size()) - 1);
    std::nth_element(times.begin(), at, times.end());
    return *at;
}

void HeldTraces::remove(const std::vector<Due>& decided) {
    if (!rates_judged_.empty()) rates_ = std::move(rates_judged_);
    rates_judged_.clear();
    if (decided.empty()) return;
    for (const Due& one : decided) {
        traces_.erase(one.id);
        if (!randomness_.empty()) randomness_.erase(one.id);
    }
    // They are in the order of their times.
    arrivals_.erase(arrivals_.begin(), arrivals_.upper_bound(decided.back().held.since_ds));
}

// What is known of traces without reading them: where a rule looks at wholes, whether it may match.
SurveyedTraces HeldTraces::known_of(const std::vector<Due>& due) const {
    SurveyedTraces traces;
    traces.keys_of_rule.assign(rules_.keep.size(), SurveyedTraces::kNoKeys);
    traces.matches.resize(rules_.keep.size());
    for (const Due& one : due) {
        traces.ids.push_back(one.id);
        const auto said = randomness_.find(one.id);
        traces.randomness.push_back(said == randomness_.end() ? otlp::randomness_of(one.id)
                                                              : said->second);
    }
    for (size_t rule = 0; rule < rules_.keep.size(); ++rule) {
        if (rules_.keep[rule].query == nullptr) continue;
        const std::optional<DurationTest>& duration = durations_[rule];
        for (const Due& one : due)
            traces.matches[rule].push_back(duration ? duration->matches(one.held)
                                                    : one.held.rules >> rule & 1);
    }
    return traces;
}

// Of these, by number; UINT32_MAX where a trace is not stored any more.
Result<SurveyedTraces> HeldTraces::survey(const std::vector<Due>& due,
                                          const std::vector<uint32_t>& numbers,
                                          store::Segments segments,
                                          std::vector<uint32_t>& place_of) const {
    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> wanted;
    for (const uint32_t number : numbers)
        wanted.emplace(due[number].id, number);
    SurveyLimits limits;
    limits.wants = [&](const TraceId& id) { return wanted.contains(id); };
    TRY_ASSIGN(SurveyedTraces traces, survey_traces(segments, {}, rules_, limits));
    for (uint32_t trace = 0; trace < traces.size(); ++trace)
        place_of[wanted.at(traces.ids[trace])] = trace;
    return traces;
}

Result<std::vector<Verdict>> HeldTraces::judge_due(const std::vector<Due>& due,
                                                   store::Segments segments, JudgedSpan span) {
    rates_judged_ = rates_;
    std::vector<uint32_t> place_of(due.size(), UINT32_MAX);
    std::vector<uint32_t> to_survey;
    for (uint32_t i = 0; i < due.size(); ++i)
        if (needs_keys_ || (due[i].held.rules & rules_of_wholes_) != 0) to_survey.push_back(i);
    SurveyedTraces surveyed;
    if (!to_survey.empty()) {
        TRY_ASSIGN(surveyed, survey(due, to_survey, segments, place_of));
    }
    std::vector<Verdict> verdicts(due.size());
    if (needs_keys_) {
        std::vector<uint32_t> numbers(surveyed.size());
        std::iota(numbers.begin(), numbers.end(), 0U);
        const std::vector<Verdict> judged =
            judge_streaming(rules_, surveyed, numbers, span, rates_judged_);
        // What is not stored any more is not chosen.
        for (size_t i = 0; i < due.size(); ++i)
            if (place_of[i] != UINT32_MAX) verdicts[i] = judged[place_of[i]];
        return verdicts;
    }
    SurveyedTraces traces = known_of(due);
    for (size_t rule = 0; rule < rules_.keep.size(); ++rule) {
        if ((rules_of_wholes_ >> rule & 1) == 0) continue;
        for (const uint32_t i : to_survey)
            traces.matches[rule][i] =
                place_of[i] == UINT32_MAX ? 0 : surveyed.matches[rule][place_of[i]];
    }
    std::vector<uint32_t> numbers;
    for (uint32_t i = 0; i < due.size(); ++i) {
        const bool is_gone =
            (due[i].held.rules & rules_of_wholes_) != 0 && place_of[i] == UINT32_MAX;
        if (!is_gone) numbers.push_back(i);
    }
    const std::vector<Verdict> judged =
        judge_streaming(rules_, traces, numbers, span, rates_judged_);
    for (size_t i = 0; i < numbers.size(); ++i)
        verdicts[numbers[i]] = judged[i];
    return verdicts;
}

std::optional<DecidedTraces::Fate> DecidedTraces::find(uint64_t hash) const {
    const uint64_t dropped = hash & ~uint64_t{1};
    const uint64_t chosen = hash | 1;
    for (const Generation* one : {&newer_, &older_}) {
        if (one->traces.empty()) continue;
        if (one->traces.contains(dropped)) return Fate{};
        if (!one->traces.contains(chosen)) continue;
        const auto threshold = one->thresholds.find(chosen);
        return Fate{true, threshold == one->thresholds.end() ? 0 : threshold->second};
    }
    return std::nullopt;
}

void DecidedTraces::add(uint64_t hash, const Fate& fate) {
    if (newer_.traces.size() >= generation_max_) older_ = std::exchange(newer_, {});
    newer_.traces.insert((hash & ~uint64_t{1}) | (fate.is_chosen ? 1 : 0));
    if (fate.threshold != 0) newer_.thresholds[hash | 1] = fate.threshold;
}

}  // namespace spanloom::sampling
