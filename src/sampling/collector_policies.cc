// The policies of the OpenTelemetry Collector's tail_sampling processor.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "sampling/imported_rules.h"
#include "sampling/ottl_condition.h"
#include "traceql/names.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using Rate = ImportedRule::Rate;

constexpr size_t kPoliciesMax = 1000;

template <typename... Args>
tl::unexpected<Error> cannot(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kUnsupported, "{}", fmt::format(format, std::forward<Args>(args)...));
}

// What one policy asks for: which traces, and how many of them.
struct Choice {
    TraceCondition condition;
    std::optional<double> share;       // of them
    std::optional<double> per_second;  // traces
    // What goes, whatever other policies say.
    std::optional<TraceCondition> dropped;
    std::vector<std::string> differs;
};

class CollectorReader {
  public:
    explicit CollectorReader(const ImportOptions& options) : options_(options) {}

    Result<Choice> read(const element& policy) const {
        const std::string type = text_at(policy, "type").value_or("");
        element settings;
        // A policy without settings has no part of its own.
        if (policy[type].get(settings)) settings = policy;
        if (type == "always_sample") return Choice{};
        if (type == "latency") return latency(settings);
        if (type == "numeric_attribute") return numeric(settings);
        if (type == "string_attribute") return string(settings);
        if (type == "boolean_attribute") return boolean(settings);
        if (type == "status_code") return status(settings);
        if (type == "span_count") return span_count(settings);
        if (type == "ottl_condition") return ottl(settings);
        if (type == "probabilistic") return probabilistic(settings);
        if (type == "rate_limiting") return spans_limited(settings);
        if (type == "bytes_limiting") return bytes_limited(settings);
        if (type == "and") return all_of(list_at(settings, "and_sub_policy"));
        if (type == "not") return negation(settings);
        if (type == "trace_state")
            return cannot(
                "TraceQL does not see the tracestate; let senders write it as an attribute, and "
                "match that");
        if (type == "trace_flags")
            return cannot(
                "TraceQL does not see the flags; a trace whose sampled flag is not set is rarely "
                "sent at all");
        if (type == "drop" || type == "composite")
            return cannot("a policy of type {} inside another one", type);
        return cannot("policies of type '{}' are not known; write a rule by hand",
                      type.substr(0, 80));
    }

    // Every one of them; a share and a limit of theirs count for all.
    Result<Choice> all_of(const std::vector<element>& policies) const {
        Choice all;
        for (const element& policy : policies) {
            TRY_ASSIGN(const Choice one, read(policy));
            all.condition.add(one.condition);
            all.differs.insert(all.differs.end(), one.differs.begin(), one.differs.end());
            if (one.share && all.share)
                all.differs.emplace_back("of several shares the smallest counts");
            if (one.share) all.share = std::min(*one.share, all.share.value_or(1));
            if (one.per_second)
                all.per_second =
                    std::min(*one.per_second, all.per_second.value_or(*one.per_second));
        }
        if (all.share && all.per_second)
            return cannot(
                "a rule has a share or a rate, not both; take the one that is reached first");
        return all;
    }

    double traces_per_s(double spans_per_s) const {
        return std::max(spans_per_s / options_.spans_per_trace, 0.001);
    }

  private:
    Result<Choice> latency(const element& settings) const {
        std::vector<std::string> conditions;
        const auto add = [&](std::string_view comparison, double ms) {
            conditions.push_back(
                fmt::format("trace:duration {} {}ms", comparison, plain_number(ms)));
        };
        const double upper = number_at(settings, "upper_threshold_ms").value_or(0);
        add(">", number_at(settings, "threshold_ms").value_or(0));
        if (upper > 0) add("<=", upper);
        return of_span(traceql_all(conditions));
    }

    Result<Choice> numeric(const element& settings) const {
        TRY_ASSIGN(const std::string key, attribute(settings));
        const auto min = number_at(settings, "min_value");
        const auto max = number_at(settings, "max_value");
        std::vector<std::string> conditions;
        // The Collector takes what is left out as 0.
        conditions.push_back(fmt::format("{} >= {}", key, plain_number(min.value_or(0))));
        conditions.push_back(fmt::format("{} <= {}", key, plain_number(max.value_or(0))));
        return inverted(settings, of_span(traceql_all(conditions)));
    }

    Result<Choice> string(const element& settings) const {
        TRY_ASSIGN(const std::string key, attribute(settings));
        const std::vector<std::string> values = texts_at(settings, "values");
        if (values.empty()) return cannot("it has no values, so it never chooses a trace");
        const bool is_pattern = flag_at(settings, "enabled_regex_matching");
        std::vector<std::string> conditions;
        for (const std::string& value : values) {
            conditions.push_back(
                is_pattern ? fmt::format("{} =~ {}", key, traceql_text(traceql_pattern(value)))
                           : fmt::format("{} = {}", key, traceql_text(value)));
        }
        return inverted(settings, of_span(traceql_any(conditions)));
    }

    Result<Choice> boolean(const element& settings) const {
        TRY_ASSIGN(const std::string key, attribute(settings));
        return inverted(settings, of_span(fmt::format("{} = {}", key, flag_at(settings, "value"))));
    }

    static Result<Choice> status(const element& settings) {
        std::vector<std::string> conditions;
        for (const std::string& code : texts_at(settings, "status_codes")) {
            if (code != "OK" && code != "ERROR" && code != "UNSET")
                return cannot("'{}' is not a status code", code.substr(0, 80));
            conditions.push_back(fmt::format("status = {}", code == "OK"      ? "ok"
                                                            : code == "ERROR" ? "error"
                                                                              : "unset"));
        }
        if (conditions.empty()) return cannot("it has no status_codes");
        return of_span(traceql_any(conditions));
    }

    static Result<Choice> span_count(const element& settings) {
        Choice choice;
        const double min = number_at(settings, "min_spans").value_or(0);
        const double max = number_at(settings, "max_spans").value_or(0);
        if (min > 1)
            choice.condition.add(TraceCondition::of_trace(
                fmt::format("({{ }} | count()) >= {}", plain_number(min))));
        if (max > 0)
            choice.condition.add(TraceCondition::of_trace(
                fmt::format("({{ }} | count()) <= {}", plain_number(max))));
        return choice;
    }

    static Result<Choice> ottl(const element& settings) {
        std::vector<std::string> conditions;
        for (const auto& [list, context] :
             {std::pair("span", OttlContext::kSpan), std::pair("spanevent", OttlContext::kEvent)}) {
            for (const std::string& text : texts_at(settings, list)) {
                TRY_ASSIGN(conditions.emplace_back(), translate_ottl(text, context));
            }
        }
        if (conditions.empty()) return cannot("it has no conditions");
        return of_span(traceql_any(conditions));
    }

    static Result<Choice> probabilistic(const element& settings) {
        const auto percent = number_at(settings, "sampling_percentage");
        if (!percent) return cannot("sampling_percentage is not a number");
        Choice choice;
        choice.share = share_of_rule(*percent / 100);
        if (text_at(settings, "hash_salt").value_or("") != "")
            choice.differs.emplace_back(
                "hash_salt is not used: the randomness of each trace (W3C) decides, so as many "
                "traces stay, but others");
        return choice;
    }

    Result<Choice> spans_limited(const element& settings) const {
        const auto spans = number_at(settings, "spans_per_second");
        if (!spans || !(*spans > 0)) return cannot("spans_per_second is not a number above 0");
        Choice choice;
        choice.per_second = traces_per_s(*spans);
        choice.differs.push_back(counts_traces());
        return choice;
    }

    Result<Choice> bytes_limited(const element& settings) const {
        const auto bytes = number_at(settings, "bytes_per_second");
        if (!bytes || !(*bytes > 0)) return cannot("bytes_per_second is not a number above 0");
        Choice choice;
        choice.per_second = traces_per_s(*bytes / options_.bytes_per_span);
        choice.differs.push_back(fmt::format("{}, and spans of {} bytes (--bytes-per-span)",
                                             counts_traces(),
                                             plain_number(options_.bytes_per_span)));
        return choice;
    }

    Result<Choice> negation(const element& settings) const {
        std::vector<element> policies = list_at(settings, "not_sub_policy");
        element single;
        if (policies.empty() && !settings["not_sub_policy"].get(single)) policies = {single};
        if (policies.size() != 1) return cannot("it needs one not_sub_policy");
        TRY_ASSIGN(Choice choice, read(policies[0]));
        if (choice.share || choice.per_second)
            return cannot("what a share or a rate did not choose cannot be matched");
        const auto negated = choice.condition.negated();
        if (!negated) return cannot("it never chooses a trace");
        choice.condition = *negated;
        return choice;
    }

    static Choice of_span(const std::string& condition) {
        Choice choice;
        choice.condition = TraceCondition::of_span(condition);
        return choice;
    }
    // invert_match: what matches goes, whatever other policies say.
    static Result<Choice> inverted(const element& settings, Choice choice) {
        if (!flag_at(settings, "invert_match")) return choice;
        choice.dropped = choice.condition;
        choice.condition = *choice.condition.negated();
        return choice;
    }
    static Result<std::string> attribute(const element& settings) {
        const std::string key = text_at(settings, "key").value_or("");
        if (key.empty()) return cannot("it has no key");
        return traceql::field_text({store::Scope::kAny, {}, key});
    }
    std::string counts_traces() const {
        return fmt::format(
            "rules count traces: one is taken to have {} spans (--spans-per-trace), over the time "
            "decided about at once instead of each second",
            plain_number(options_.spans_per_trace));
    }

    const ImportOptions& options_;
};

// The order in which rules must stand, as the first that matches decides.
enum class Place : uint8_t { kDrop, kWhole, kShare, kLimited };

struct Placed {
    Place place = Place::kWhole;
    ImportedRule rule;
    size_t policy = 0;  // index of its note
};

class CollectorImport {
  public:
    CollectorImport(std::string source, const ImportOptions& options)
        : options_(options), reader_(options_) {
        out_.source = std::move(source);
    }

    void add(const element& policy) {
        const std::string name = text_at(policy, "name").value_or("");
        const std::string type = text_at(policy, "type").value_or("");
        policy_ = out_.notes.size();
        PolicyReport report(fmt::format("'{}' ({})", name, type), out_);
        Result<void> added = {};
        if (type == "drop") {
            added = add_drop(name, policy, report);
        } else if (type == "composite") {
            added = add_composite(name, policy, report);
        } else {
            added = add_choice(name, policy, report);
        }
        if (!added) report.left_out(added.error().message);
        report.finish();
    }

    ImportedPolicies finish(const element& settings) {
        std::stable_sort(rules_.begin(), rules_.end(), [](const Placed& a, const Placed& b) {
            if (a.place != b.place) return a.place < b.place;
            // So that it is known why a trace stayed, those for every trace come last.
            if (a.place == Place::kWhole)
                return !a.rule.condition.is_everything() && b.rule.condition.is_everything();
            return a.place == Place::kShare && a.rule.rate > b.rule.rate;
        });
        leave_out_unreachable();
        for (Placed& placed : rules_)
            out_.rules.push_back(std::move(placed.rule));
        finish_rules(out_.rules);
        out_.wait = text_at(settings, "decision_wait").value_or("30s");
        if (!parse_duration_ns(out_.wait)) out_.wait = "30s";
        return std::move(out_);
    }

  private:
    void place(Place place, std::string name, TraceCondition condition, double rate,
               Rate kind = Rate::kShare) {
        rules_.push_back({place, {std::move(name), std::move(condition), kind, rate, {}}, policy_});
    }

    Result<void> add_choice(const std::string& name, const element& policy, PolicyReport& report) {
        TRY_ASSIGN(const Choice choice, reader_.read(policy));
        for (const std::string& text : choice.differs)
            report.differs(text);
        if (choice.dropped) {
            place(Place::kDrop, name + " not", *choice.dropped, 0);
            report.differs(
                "invert_match: what its condition finds goes by a rule of its own, before all "
                "others");
        }
        if (choice.per_second) {
            place(Place::kLimited, name, choice.condition, *choice.per_second, Rate::kPerSecond);
        } else {
            const double share = choice.share.value_or(1);
            place(share < 1 ? Place::kShare : Place::kWhole, name, choice.condition, share);
        }
        return {};
    }

    Result<void> add_drop(const std::string& name, const element& policy, PolicyReport& report) {
        element settings;
        if (policy["drop"].get(settings)) settings = policy;
        TRY_ASSIGN(const Choice choice, reader_.all_of(list_at(settings, "drop_sub_policy")));
        if (choice.share || choice.per_second)
            return cannot(
                "only a part of what matches would be dropped, and the rest be looked at by "
                "others; a rule decides about all that it matches");
        if (choice.condition.is_everything()) return cannot("it would drop every trace");
        for (const std::string& text : choice.differs)
            report.differs(text);
        place(Place::kDrop, name, choice.condition, 0);
        return {};
    }

    Result<void> add_composite(const std::string& name, const element& policy,
                               PolicyReport& report) {
        element settings;
        if (policy["composite"].get(settings)) settings = policy;
        const double total = number_at(settings, "max_total_spans_per_second").value_or(0);
        if (!(total > 0)) return cannot("max_total_spans_per_second is not a number above 0");
        std::map<std::string, element> parts;
        for (const element& part : list_at(settings, "composite_sub_policy"))
            parts.emplace(text_at(part, "name").value_or(""), part);
        if (parts.empty()) return cannot("it has no composite_sub_policy");
        std::map<std::string, double> percents;
        for (const element& one : list_at(settings, "rate_allocation"))
            percents[text_at(one, "policy").value_or("")] = number_at(one, "percent").value_or(0);
        report.differs(fmt::format(
            "each part has its own rule and limit; rules count traces, one is taken to have {} "
            "spans (--spans-per-trace)",
            plain_number(options_.spans_per_trace)));
        for (const std::string& part : texts_at(settings, "policy_order")) {
            const auto found = parts.find(part);
            if (found == parts.end()) {
                report.differs(fmt::format("policy_order names '{}', which is not there", part));
                continue;
            }
            const Result<Choice> choice = reader_.read(found->second);
            if (!choice) {
                report.differs(
                    fmt::format("its part '{}' is left out: {}", part, choice.error().message));
                continue;
            }
            const double percent =
                percents[part] > 0 ? percents[part] : 100 / static_cast<double>(parts.size());
            double per_second = reader_.traces_per_s(total * percent / 100);
            if (choice->per_second) per_second = std::min(per_second, *choice->per_second);
            if (choice->share)
                report.differs(fmt::format("the share of its part '{}' is not taken", part));
            place(Place::kLimited, name + " " + part, choice->condition, per_second,
                  Rate::kPerSecond);
        }
        return {};
    }

    // What stands behind a rule for every trace.
    void leave_out_unreachable() {
        const auto last = std::find_if(rules_.begin(), rules_.end(), [](const Placed& placed) {
            return placed.rule.condition.is_everything();
        });
        if (last == rules_.end()) return;
        for (auto placed = last + 1; placed != rules_.end(); ++placed) {
            PolicyNote& note = out_.notes[placed->policy];
            if (last->place == Place::kWhole) {
                note.outcome = PolicyNote::Outcome::kSame;
                note.text =
                    fmt::format("no rule is needed, as '{}' keeps every trace", last->rule.name);
                continue;
            }
            note.outcome = PolicyNote::Outcome::kDiffers;
            if (!note.text.empty()) note.text += "; ";
            note.text += fmt::format(
                "its rule is left out, as '{}' decides about every trace before it; the Collector "
                "keeps what either chooses: raise the rate of '{}' if that is too little",
                last->rule.name, last->rule.name);
        }
        rules_.erase(last + 1, rules_.end());
    }

    const ImportOptions options_;
    CollectorReader reader_;
    ImportedPolicies out_;
    std::vector<Placed> rules_;
    size_t policy_ = 0;
};

}  // namespace

Result<ImportedPolicies> import_collector(const element& tail_sampling, std::string source,
                                          const ImportOptions& options) {
    const std::vector<element> policies = list_at(tail_sampling, "policies");
    if (policies.empty()) return fail(ErrorCode::kInvalidArgument, "{} has no policies", source);
    if (policies.size() > kPoliciesMax)
        return fail(ErrorCode::kInvalidArgument, "{} has {} policies, at most {} are taken", source,
                    policies.size(), kPoliciesMax);
    CollectorImport import(std::move(source), options);
    for (const element& policy : policies)
        import.add(policy);
    return import.finish(tail_sampling);
}

}  // namespace spanloom::sampling
