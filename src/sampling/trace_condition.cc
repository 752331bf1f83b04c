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
    const bool ends_open = pattern.ends_with(".*") && !pattern.ends_with("\\.*");
    return out + (is_to_end || ends_open ? "" : ".*");
}

std::string escaped_pattern(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c != '\0' && std::string_view("\\.+*?()|[]{}^$").find(c) != std::string_view::npos)
            out += '\\';
        out += c;
    }
    return out;
}

// Members are parted by commas, and have blanks and tabs about them but for the sign.
std::string trace_state_has(std::string_view key, const std::vector<std::string>& values) {
    std::vector<std::string> any;
    for (const std::string& value : values)
        any.push_back(escaped_pattern(value));
    const std::string value = any.size() == 1 ? any[0] : fmt::format("({})", fmt::join(any, "|"));
    return fmt::format(
        "span:traceState =~ {}",
        traceql_text(fmt::format(R"((.*,)?[ \t]*{}={}[ \t]*(,.*)?)", escaped_pattern(key), value)));
}

std::string traceql_any(const std::vector<std::string>& conditions) {
    return join(conditions, " || ");
}

std::string traceql_all(const std::vector<std::string>& conditions) {
    return join(conditions, " && ");
}

}  // namespace spanloom::sampling
