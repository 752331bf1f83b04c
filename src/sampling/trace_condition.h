#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Conditions of other systems' sampling, put together as TraceQL.
namespace spanloom::sampling {

// A condition on a trace: spans that must be there, each set written as a filter in braces (or
// several, related), and comparisons of numbers of the whole trace. All must hold; none of either:
// every trace.
struct TraceCondition {
    std::vector<std::string> spansets;
    std::vector<std::string> comparisons;

    static TraceCondition of_span(std::string_view condition);  // some span satisfies it
    static TraceCondition of_trace(std::string comparison);
    bool is_everything() const { return spansets.empty() && comparisons.empty(); }
    void add(const TraceCondition& other);  // both
    // The traces that do not satisfy it; nullopt for every trace.
    std::optional<TraceCondition> negated() const;
    std::string traceql() const;  // "" for every trace
};

// "text" with TraceQL's escapes.
std::string traceql_text(std::string_view text);
// A regular expression that holds where `pattern` is found anywhere, for TraceQL's hold for the
// whole value.
std::string traceql_pattern(std::string_view pattern);
// A regular expression that holds for this text alone.
std::string escaped_pattern(std::string_view text);
// Inside braces: the span's tracestate has a member of that key with one of the values.
std::string trace_state_has(std::string_view key, const std::vector<std::string>& values);
// Several joined by "||" (or "&&"), each in brackets where it is itself such a list.
std::string traceql_any(const std::vector<std::string>& conditions);
std::string traceql_all(const std::vector<std::string>& conditions);

}  // namespace spanloom::sampling
