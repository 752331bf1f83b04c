// One policy of the OpenTelemetry Collector's tail_sampling processor.
#include "sampling/collector_policy.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sampling/ottl_condition.h"
#include "traceql/names.h"

namespace spanloom::sampling {
namespace {

using simdjson::dom::element;
using store::Scope;

// Of a member of a tracestate: what is longer the Collector never finds.
constexpr size_t kMemberBytesMax = 256;

template <typename... Args>
tl::unexpected<Error> cannot(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kUnsupported, "{}", fmt::format(format, std::forward<Args>(args)...));
}

PolicyChoice of_span(const std::string& condition) {
    PolicyChoice choice;
    choice.condition = TraceCondition::of_span(condition);
    return choice;
}

// invert_match: what matches goes, whatever other policies say.
Result<PolicyChoice> inverted(const element& settings, PolicyChoice choice) {
    if (!flag_at(settings, "invert_match")) return choice;
    choice.dropped = choice.condition;
    choice.condition = *choice.condition.negated();
    return choice;
}

// An attribute of a policy is looked for in spans and, whatever they have, in their resources.
Result<std::vector<std::string>> attribute_fields(const element& settings) {
    const std::string key = text_at(settings, "key").value_or("");
    if (key.empty()) return cannot("it has no key");
    return std::vector<std::string>{traceql::field_text({Scope::kSpan, {}, key}),
                                    traceql::field_text({Scope::kResource, {}, key})};
}

// The Collector compares whole milliseconds.
Result<PolicyChoice> latency(const element& settings) {
    const double upper = std::floor(number_at(settings, "upper_threshold_ms").value_or(0));
    const double lower = std::floor(number_at(settings, "threshold_ms").value_or(0));
    std::vector<std::string> conditions = {
        fmt::format("trace:duration >= {}ms", plain_number(lower + 1))};
    if (upper > 0)
        conditions.push_back(fmt::format("trace:duration < {}ms", plain_number(upper + 1)));
    PolicyChoice choice = of_span(traceql_all(conditions));
    if (upper > 0)
        choice.differs.emplace_back(
            "the Collector also takes a longer trace when the spans that it looks at first span so "
            "long; here the whole trace counts");
    return choice;
}

Result<PolicyChoice> numeric(const element& settings) {
    TRY_ASSIGN(const std::vector<std::string> fields, attribute_fields(settings));
    // To the Collector 0 is no bound.
    const double min = number_at(settings, "min_value").value_or(0);
    const double max = number_at(settings, "max_value").value_or(0);
    if (min == 0 && max == 0) return cannot("it has neither min_value nor max_value other than 0");
    std::vector<std::string> any;
    for (const std::string& field : fields) {
        std::vector<std::string> conditions;
        if (min != 0) conditions.push_back(fmt::format("{} >= {}", field, plain_number(min)));
        if (max != 0) conditions.push_back(fmt::format("{} <= {}", field, plain_number(max)));
        any.push_back(traceql_all(conditions));
    }
    PolicyChoice choice = of_span(traceql_any(any));
    if (min <= 0 && max >= 0 && (min == 0) != (max == 0))
        choice.differs.emplace_back(
            "the Collector takes a value that is no integer for 0; here it is not in the range");
    return inverted(settings, std::move(choice));
}

Result<PolicyChoice> string(const element& settings) {
    TRY_ASSIGN(const std::vector<std::string> fields, attribute_fields(settings));
    const bool is_pattern = flag_at(settings, "enabled_regex_matching");
    std::vector<std::string> any;
    for (const std::string& field : fields) {
        for (const std::string& value : texts_at(settings, "values")) {
            if (is_pattern) {
                any.push_back(fmt::format("{} =~ {}", field, traceql_text(traceql_pattern(value))));
            } else if (!value.empty()) {
                any.push_back(fmt::format("{} = {}", field, traceql_text(value)));
            }
        }
    }
    if (any.empty()) return cannot("it has no values, so it never chooses a trace");
    return inverted(settings, of_span(traceql_any(any)));
}

Result<PolicyChoice> boolean(const element& settings) {
    TRY_ASSIGN(const std::vector<std::string> fields, attribute_fields(settings));
    std::vector<std::string> any;
    for (const std::string& field : fields)
        any.push_back(fmt::format("{} = {}", field, flag_at(settings, "value")));
    return inverted(settings, of_span(traceql_any(any)));
}

Result<PolicyChoice> status(const element& settings) {
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

Result<PolicyChoice> span_count(const element& settings) {
    PolicyChoice choice;
    const double min = number_at(settings, "min_spans").value_or(0);
    const double max = number_at(settings, "max_spans").value_or(0);
    if (min > 1)
        choice.condition.add(
            TraceCondition::of_trace(fmt::format("({{ }} | count()) >= {}", plain_number(min))));
    if (max > 0)
        choice.condition.add(
            TraceCondition::of_trace(fmt::format("({{ }} | count()) <= {}", plain_number(max))));
    return choice;
}

Result<PolicyChoice> trace_state(const element& settings) {
    const std::string key = text_at(settings, "key").value_or("");
    if (key.empty()) return cannot("it has no key");
    std::vector<std::string> values;
    for (const std::string& value : texts_at(settings, "values"))
        if (!value.empty() && key.size() + value.size() < kMemberBytesMax) values.push_back(value);
    if (values.empty()) return cannot("it has no values, so it never chooses a trace");
    return of_span(trace_state_has(key, values));
}

Result<PolicyChoice> ottl(const element& settings) {
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

Result<PolicyChoice> probabilistic(const element& settings) {
    const auto percent = number_at(settings, "sampling_percentage");
    if (!percent) return cannot("sampling_percentage is not a number");
    PolicyChoice choice;
    choice.share = share_of_rule(*percent / 100);
    choice.salt = text_at(settings, "hash_salt").value_or("");
    if (!choice.salt.empty()) {
        choice.differs.emplace_back(
            "hash_salt is not used: the randomness of each trace (W3C) decides, so as many "
            "traces stay, but others");
    } else {
        choice.remarks.emplace_back(
            "as many traces, chosen by the randomness of each (W3C) instead of a hash");
    }
    return choice;
}

}  // namespace

Result<PolicyChoice> CollectorReader::read(const element& policy) const {
    const std::string type = text_at(policy, "type").value_or("");
    element settings;
    // A policy without settings has no part of its own.
    if (policy[type].get(settings)) settings = policy;
    if (type == "always_sample") return PolicyChoice{};
    if (type == "latency") return latency(settings);
    if (type == "numeric_attribute") return numeric(settings);
    if (type == "string_attribute") return string(settings);
    if (type == "boolean_attribute") return boolean(settings);
    if (type == "status_code") return status(settings);
    if (type == "span_count") return span_count(settings);
    if (type == "trace_state") return trace_state(settings);
    if (type == "trace_flags") return of_span("span:sampled = true");
    if (type == "ottl_condition") return ottl(settings);
    if (type == "probabilistic") return probabilistic(settings);
    if (type == "rate_limiting") return spans_limited(settings);
    if (type == "bytes_limiting") return bytes_limited(settings);
    if (type == "and") return all_of(list_at(settings, "and_sub_policy"));
    if (type == "not") return negation(settings);
    if (type == "drop" || type == "composite")
        return cannot("a policy of type {} inside another one", type);
    return cannot("policies of type '{}' are not known; write a rule by hand", type.substr(0, 80));
}

Result<PolicyChoice> CollectorReader::all_of(const std::vector<element>& policies) const {
    PolicyChoice all;
    const auto append = [](std::vector<std::string>& to, const std::vector<std::string>& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    for (const element& policy : policies) {
        TRY_ASSIGN(const PolicyChoice one, read(policy));
        all.condition.add(one.condition);
        append(all.differs, one.differs);
        append(all.remarks, one.remarks);
        if (one.share && all.share)
            all.differs.emplace_back("of several shares the smallest counts");
        if (one.share) {
            all.share = std::min(*one.share, all.share.value_or(1));
            all.salt = one.salt;
        }
        if (one.per_second)
            all.per_second = std::min(*one.per_second, all.per_second.value_or(*one.per_second));
    }
    if (all.share && all.per_second)
        return cannot("a rule has a share or a rate, not both; take the one that is reached first");
    return all;
}

double CollectorReader::traces_per_s(double spans_per_s) const {
    return std::max(spans_per_s / options_.spans_per_trace, 0.001);
}

Result<PolicyChoice> CollectorReader::spans_limited(const element& settings) const {
    const auto spans = number_at(settings, "spans_per_second");
    if (!spans || !(*spans > 0)) return cannot("spans_per_second is not a number above 0");
    PolicyChoice choice;
    choice.per_second = traces_per_s(*spans);
    choice.differs.push_back(counts_traces());
    return choice;
}

Result<PolicyChoice> CollectorReader::bytes_limited(const element& settings) const {
    const auto bytes = number_at(settings, "bytes_per_second");
    if (!bytes || !(*bytes > 0)) return cannot("bytes_per_second is not a number above 0");
    PolicyChoice choice;
    choice.per_second = traces_per_s(*bytes / options_.bytes_per_span);
    choice.differs.push_back(fmt::format("{}, and spans of {} bytes (--bytes-per-span)",
                                         counts_traces(), plain_number(options_.bytes_per_span)));
    return choice;
}

Result<PolicyChoice> CollectorReader::negation(const element& settings) const {
    std::vector<element> policies = list_at(settings, "not_sub_policy");
    element single;
    if (policies.empty() && !settings["not_sub_policy"].get(single)) policies = {single};
    if (policies.size() != 1) return cannot("it needs one not_sub_policy");
    TRY_ASSIGN(PolicyChoice choice, read(policies[0]));
    if (choice.per_second) return cannot("what a rate did not choose cannot be matched");
    choice.dropped.reset();
    if (choice.share && choice.condition.is_everything()) {
        choice.share = share_of_rule(1 - *choice.share);
        choice.differs.emplace_back(
            "as many traces as the share does not choose, but not just those: all shares choose "
            "by one randomness of each trace");
        return choice;
    }
    if (choice.share)
        return cannot(
            "it chooses what a share of some traces does not, and all others; write the "
            "two as rules of their own");
    const auto negated = choice.condition.negated();
    if (!negated) return cannot("it never chooses a trace");
    choice.condition = *negated;
    return choice;
}

std::string CollectorReader::counts_traces() const {
    return fmt::format(
        "rules count traces: one is taken to have {} spans (--spans-per-trace), over the time "
        "decided about at once instead of each second",
        plain_number(options_.spans_per_trace));
}

}  // namespace spanloom::sampling
