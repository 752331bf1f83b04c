#include "sampling/trace_condition.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "traceql/printer.h"

namespace spanloom::sampling {
namespace {

bool is_list(std::string_view condition) {
    return condition.find(" && ") != std::string_view::npos ||
           condition.find(" || ") != std::string_view::npos;
}

std::string join(const std::vector<std::string>& conditions, std::string_view between) {
    if (conditions.size() == 1) return conditions[0];
    std::string out;
    for (const std::string& condition : conditions) {
        if (!out.empty()) out += between;
        out += is_list(condition) ? "(" + condition + ")" : condition;
    }
    return out;
}

}  // namespace

TraceCondition TraceCondition::of_span(std::string_view condition) {
    return {{fmt::format("{{ {} }}", condition)}, {}};
}

TraceCondition TraceCondition::of_trace(std::string comparison) {
    return {{}, {std::move(comparison)}};
}

void TraceCondition::add(const TraceCondition& other) {
    spansets.insert(spansets.end(), other.spansets.begin(), other.spansets.end());
    comparisons.insert(comparisons.end(), other.comparisons.begin(), other.comparisons.end());
}

std::optional<TraceCondition> TraceCondition::negated() const {
    if (is_everything()) return std::nullopt;
    return of_trace(fmt::format("({} | count()) = 0", traceql()));
}

std::string TraceCondition::traceql() const {
    std::string out = fmt::format("{}", fmt::join(spansets, " && "));
    for (const std::string& comparison : comparisons)
        out += out.empty() ? comparison : " | " + comparison;
    return out;
}

std::string traceql_text(std::string_view text) {
    return traceql::print(store::Value::of_string(std::string(text)));
}

std::string traceql_pattern(std::string_view pattern) {
    const bool is_from_start =
        pattern.starts_with('^') && pattern.find('|') == std::string_view::npos;
    if (is_from_start) pattern.remove_prefix(1);
    const bool is_to_end = pattern.ends_with('$') && !pattern.ends_with("\\$") &&
                           pattern.find('|') == std::string_view::npos;
    if (is_to_end) pattern.remove_suffix(1);
    const bool needs_brackets = pattern.find('|') != std::string_view::npos;
    std::string out = is_from_start || pattern.starts_with(".*") ? "" : ".*";
    out += needs_brackets ? fmt::format("(?:{})", pattern) : std::string(pattern);
    return out + (is_to_end || pattern.ends_with(".*") ? "" : ".*");
}

std::string traceql_any(const std::vector<std::string>& conditions) {
    return join(conditions, " || ");
}

std::string traceql_all(const std::vector<std::string>& conditions) {
    return join(conditions, " && ");
}

}  // namespace spanloom::sampling
