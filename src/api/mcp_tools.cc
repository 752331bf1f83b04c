#include "api/mcp_tools.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "api/jaeger_search.h"
#include "api/mcp_documents.h"
#include "api/tempo_metrics.h"
#include "api/tempo_search.h"
#include "api/tempo_tags.h"
#include "api/trace_diff.h"
#include "api/trace_digest.h"
#include "base/text.h"
#include "rollup/operation_rollup.h"
#include "traceql/names.h"

namespace spanloom::api {
namespace {

// What a model reads without losing the thread: about 6,000 tokens.
constexpr size_t kTextBytesMax = 24'000;
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kHourNs = 3600 * kSecondNs;
constexpr uint32_t kTracesDefault = 10;
constexpr uint32_t kTracesMax = 50;
constexpr size_t kSeriesShown = 40;
constexpr size_t kPointsShown = 12;

std::string_view argument(const McpArguments& arguments, std::string_view name) {
    for (const auto& [key, value] : arguments) {
        if (key == name) return value;
    }
    return {};
}

Result<std::string_view> needed(const McpArguments& arguments, std::string_view name) {
    const std::string_view value = argument(arguments, name);
    if (!value.empty()) return value;
    return fail(ErrorCode::kInvalidArgument, "argument {} is required", name);
}

Result<uint64_t> number(const McpArguments& arguments, std::string_view name, uint64_t fallback,
                        uint64_t max) {
    const std::string_view text = argument(arguments, name);
    if (text.empty()) return fallback;
    const auto value = parse_int(text);
    if (value && *value >= 1 && static_cast<uint64_t>(*value) <= max)
        return static_cast<uint64_t>(*value);
    return fail(ErrorCode::kInvalidArgument, "argument {} must be a whole number from 1 to {}",
                name, max);
}

// "2026-11-22T15:00:00Z", or how long before the end: "1h".
Result<store::TimeRange> time_range(const Call& call, const McpArguments& arguments) {
    const std::string_view start = argument(arguments, "start");
    const std::string_view end = argument(arguments, "end");
    store::TimeRange range{0, call.now_ns() + kSecondNs};
    if (!end.empty()) {
        const auto time = parse_rfc3339_ns(end);
        if (!time)
            return fail(ErrorCode::kInvalidArgument,
                        "argument end must be a time such as 2026-11-22T15:00:00Z");
        range.end_ns = *time;
    }
    if (start.empty()) {
        range.start_ns = range.end_ns - std::min(range.end_ns, kHourNs);
        return range;
    }
    if (const auto time = parse_rfc3339_ns(start)) {
        range.start_ns = *time;
    } else if (const auto back = parse_duration_ns(start); back && *back > 0) {
        range.start_ns = range.end_ns - std::min(range.end_ns, static_cast<uint64_t>(*back));
    } else {
        return fail(ErrorCode::kInvalidArgument,
                    "argument start must be a time such as 2026-11-22T15:00:00Z, or a duration "
                    "before the end such as 1h");
    }
    if (range.start_ns >= range.end_ns)
        return fail(ErrorCode::kInvalidArgument, "start must be before end");
    return range;
}

// Cut where it gets too long, and says so.
std::string limited(std::string text) {
    if (text.size() <= kTextBytesMax) return text;
    size_t end = kTextBytesMax;
    while (end > 0 && text[end] != '\n')
        --end;
    text.resize(end == 0 ? kTextBytesMax : end);
    return text + "\n... cut here: ask for less (a narrower query, a smaller limit)\n";
}

std::string value_text(const store::Value& value) {
    if (value.kind == store::ValueKind::kNil) return "nil";
    if (value.kind == store::ValueKind::kDuration) return format_duration_ns(value.integer);
    const auto shown = tempo_tag_value(value);
    return shown ? shown->text : std::string("...");
}

void append_remarks(std::string& out, const traceql::QueryStats& stats,
                    const std::vector<std::string>& notes) {
    if (stats.partial) out += "Partial: " + stats.reason + "\n";
    for (const std::string& note : notes)
        out += "Note: " + note + "\n";
}

Result<std::string> search(const Call& call, const McpArguments& arguments) {
    TempoQuestion question;
    TRY_ASSIGN(question.query, needed(arguments, "query"));
    TRY_ASSIGN(question.range, time_range(call, arguments));
    TRY_ASSIGN(const uint64_t limit, number(arguments, "limit", kTracesDefault, kTracesMax));
    question.traces = static_cast<uint32_t>(limit);
    TRY_ASSIGN(const auto answer, tempo_search(call, question));
    std::string out = fmt::format("{} traces, newest first{}.\n", answer.traces.size(),
                                  answer.next ? " (there are more)" : "");
    append_remarks(out, answer.stats, answer.notes);
    for (const traceql::TraceFound& trace : answer.traces) {
        const store::TraceSummary& summary = trace.summary;
        fmt::format_to(std::back_inserter(out), "{} {} {} {}: {} spans, {} errors, took {}\n",
                       summary.trace_id.hex(), format_rfc3339_ns(summary.start_ns),
                       summary.root_service, summary.root_name, summary.spans, summary.errors,
                       format_duration_ns(static_cast<int64_t>(summary.end_ns - summary.start_ns)));
        for (const traceql::SpansetFound& set : trace.spansets) {
            for (const auto& [name, value] : set.attributes)
                fmt::format_to(std::back_inserter(out), "  {} = {}\n", name, value_text(value));
            for (const store::MatchedSpan& span : set.spans) {
                fmt::format_to(std::back_inserter(out), "  span {} {} {}", span.span_id.hex(),
                               span.name,
                               format_duration_ns(static_cast<int64_t>(span.duration_ns)));
                for (const auto& [field, value] : span.values)
                    fmt::format_to(std::back_inserter(out), " {}={}", traceql::field_text(field),
                                   value_text(value));
                out += '\n';
            }
        }
    }
    return limited(std::move(out));
}

std::string labels_text(const std::vector<traceql::Label>& labels) {
    std::string out = "{";
    for (const traceql::Label& label : labels)
        out += (out.size() > 1 ? ", " : "") + label.name + "=" + value_text(label.value);
    return out + "}";
}

Result<std::string> metrics(const Call& call, const McpArguments& arguments, bool is_instant) {
    TempoMetricsQuestion question;
    TRY_ASSIGN(question.query, needed(arguments, "query"));
    TRY_ASSIGN(const store::TimeRange range, time_range(call, arguments));
    question.start_ns = range.start_ns;
    question.end_ns = range.end_ns;
    question.is_instant = is_instant;
    const std::string_view step = argument(arguments, "step");
    if (!step.empty()) {
        TRY_ASSIGN(const int64_t step_ns, parse_duration_ns(step));
        question.step_ns = step_ns > 0 ? static_cast<uint64_t>(step_ns) : 0;
    } else {
        question.step_ns = std::max((range.end_ns - range.start_ns) / kPointsShown, kSecondNs);
    }
    TRY_ASSIGN(const auto answer, tempo_metrics(call, question));
    std::string out = fmt::format("{} series{}{}.\n", answer.series.size(),
                                  answer.is_sampled && answer.weighted
                                      ? ", sampled spans weighted by what they stand for"
                                      : "",
                                  answer.is_exact || answer.stats.partial ? "" : ", estimated");
    append_remarks(out, answer.stats, answer.notes);
    size_t shown = 0;
    for (const traceql::Series& series : answer.series) {
        if (++shown > kSeriesShown) {
            out += "... more series: use topk(n) or a narrower query\n";
            break;
        }
        out += labels_text(series.labels) + ":";
        for (size_t i = 0; i < series.values.size(); ++i) {
            if (std::isnan(series.values[i])) continue;
            if (answer.step_ns == 0 || question.is_instant) {
                fmt::format_to(std::back_inserter(out), " {:.6g}", series.values[i]);
            } else {
                fmt::format_to(
                    std::back_inserter(out), " {}={:.6g}",
                    format_rfc3339_ns(answer.first_ns + i * answer.step_ns).substr(11, 8),
                    series.values[i]);
            }
        }
        out += '\n';
    }
    return limited(std::move(out));
}

Result<std::string> trace(const Call& call, const McpArguments& arguments) {
    TRY_ASSIGN(const std::string_view text, needed(arguments, "trace_id"));
    TRY_ASSIGN(const TraceId id, parse_trace_id(text));
    TRY_ASSIGN(const auto cached, read_trace(call, id));
    return limited(digest_trace(cached->trace, kTextBytesMax));
}

Result<std::string> diff(const Call& call, const McpArguments& arguments) {
    TRY_ASSIGN(const std::string_view base, needed(arguments, "base_trace_id"));
    TRY_ASSIGN(const std::string_view compare, needed(arguments, "compare_trace_id"));
    TRY_ASSIGN(std::string out, trace_diff(call, base, compare));
    return limited(std::move(out));
}

// compare() of the language: attribute values over-represented in the selection.
Result<std::string> compare(const Call& call, const McpArguments& arguments) {
    TRY_ASSIGN(const std::string_view selection, needed(arguments, "selection"));
    const std::string_view base = argument(arguments, "baseline");
    TempoMetricsQuestion question;
    question.query = fmt::format("{} | compare({}, 10)", base.empty() ? "{ }" : base, selection);
    TRY_ASSIGN(const store::TimeRange range, time_range(call, arguments));
    question.start_ns = range.start_ns;
    question.end_ns = range.end_ns;
    question.is_instant = true;
    question.series_max = 5'000;
    TRY_ASSIGN(const auto answer, tempo_metrics(call, question));
    struct Share {
        double selected = 0;
        double base = 0;
    };
    std::map<std::string, Share> shares;
    std::map<std::string, Share> totals;
    for (const traceql::Series& series : answer.series) {
        std::string type;
        std::string name;
        std::string value;
        for (const traceql::Label& label : series.labels) {
            if (label.name == "__meta_type") {
                type = value_text(label.value);
            } else if (label.name != "__meta_error") {
                name = label.name;
                value = value_text(label.value);
            }
        }
        const double count =
            series.values.empty() || std::isnan(series.values[0]) ? 0 : series.values[0];
        if (type == "selection") shares[name + " = " + value].selected += count;
        if (type == "baseline") shares[name + " = " + value].base += count;
        if (type == "selection_total") totals[name].selected += count;
        if (type == "baseline_total") totals[name].base += count;
    }
    std::vector<std::pair<double, std::string>> lines;
    for (const auto& [key, share] : shares) {
        const Share& total = totals[key.substr(0, key.find(" = "))];
        const double selected = total.selected > 0 ? share.selected / total.selected : 0;
        const double baseline = total.base > 0 ? share.base / total.base : 0;
        lines.emplace_back(selected - baseline,
                           fmt::format("{}: {:.1f} % of the selection, {:.1f} % of the others", key,
                                       selected * 100, baseline * 100));
    }
    std::sort(lines.begin(), lines.end(),
              [](const auto& a, const auto& b) { return std::abs(a.first) > std::abs(b.first); });
    std::string out = "What differs most, by share of spans:\n";
    append_remarks(out, answer.stats, answer.notes);
    for (size_t i = 0; i < std::min<size_t>(lines.size(), 40); ++i)
        out += lines[i].second + "\n";
    return limited(std::move(out));
}

Result<std::string> services(const Call& call, const McpArguments& arguments) {
    TRY_ASSIGN(const store::TimeRange range, time_range(call, arguments));
    OperationRollup rollup(range, range.end_ns - range.start_ns);
    rollup.add(call.counted(), call.context.rollups);
    const double seconds = static_cast<double>(range.end_ns - range.start_ns) / 1e9;
    std::string out;
    for (const OperationSeries& series : rollup.services()) {
        const OperationCounts& total = series.total;
        fmt::format_to(std::back_inserter(out),
                       "{}: {} requests ({:.3g}/s), {} failed, p50 {} p95 {} p99 {}\n",
                       series.service, total.spans, static_cast<double>(total.spans) / seconds,
                       total.errors, format_duration_ns(static_cast<int64_t>(total.p50_ns)),
                       format_duration_ns(static_cast<int64_t>(total.p95_ns)),
                       format_duration_ns(static_cast<int64_t>(total.p99_ns)));
    }
    if (out.empty()) out = "no service sent spans in this time\n";
    return limited(std::move(out));
}

Result<std::string> attribute_names(const Call& call, const McpArguments& arguments) {
    TempoTagQuestion question;
    question.scope = argument(arguments, "scope");
    TRY_ASSIGN(const auto scopes, tempo_tags(call, question));
    std::string out;
    for (const TempoScopeTags& scope : scopes) {
        out += std::string(scope.scope) + ":";
        for (const std::string& tag : scope.tags)
            out += " " + tag;
        out += '\n';
    }
    return limited(std::move(out));
}

Result<std::string> attribute_values(const Call& call, const McpArguments& arguments) {
    TempoTagQuestion question;
    TRY_ASSIGN(question.tag, needed(arguments, "name"));
    question.query = argument(arguments, "query");
    question.limit = 200;
    TRY_ASSIGN(const auto values, tempo_tag_values(call, question, false));
    std::string out;
    for (const store::Value& value : values) {
        if (const auto shown = tempo_tag_value(value))
            out += fmt::format("{} ({})\n", shown->text, shown->type);
    }
    if (out.empty()) out = "no values\n";
    return limited(std::move(out));
}

std::string_view document(std::string_view name) {
    for (const McpDocument& one : mcp_documents()) {
        if (one.name == name) return one.text;
    }
    return {};
}

Result<std::string> docs_traceql(const Call&, const McpArguments&) {
    return std::string(document("docs-traceql"));
}

Result<std::string> docs_config(const Call&, const McpArguments&) {
    return std::string(document("docs-config"));
}

// A property of a tool's arguments.
std::string text_property(std::string_view name, std::string_view description) {
    std::string out = "\"" + std::string(name) + R"(":{"type":"string","description":)";
    JsonWriter(out).string(description);
    return out + "}";
}

std::string times() {
    return text_property("start",
                         "RFC 3339 time, or a duration before the end such as 30m (default 1h)") +
           "," + text_property("end", "RFC 3339 time (default: now)");
}

std::string metrics_query() {
    return text_property("query",
                         "TraceQL that ends with a function, such as { } | rate() "
                         "by(resource.service.name)");
}

std::string schema(std::string_view properties, std::string_view needed_names = {}) {
    std::string out = R"({"type":"object","properties":{)";
    out += properties;
    out += "}";
    if (!needed_names.empty()) out += R"(,"required":[)" + std::string(needed_names) + "]";
    return out + R"(,"additionalProperties":false})";
}

}  // namespace

const std::vector<McpTool>& mcp_tools() {
    static const std::vector<McpTool> tools = {
        {"traceql-search", "Find traces",
         "Finds the newest traces that a TraceQL query matches, with the spans that matched.",
         schema(text_property("query", "TraceQL, such as { status = error }") +
                    R"(,"limit":{"type":"integer","minimum":1,"maximum":50},)" + times(),
                R"("query")"),
         search},
        {"traceql-metrics-instant", "Count and measure",
         "Rates, counts, sums and quantiles over spans by a TraceQL metrics query: one value for "
         "all the time.",
         schema(metrics_query() + "," + times(), R"("query")"),
         [](const Call& call, const McpArguments& arguments) {
             return metrics(call, arguments, true);
         }},
        {"traceql-metrics-range", "Draw series",
         "The same as traceql-metrics-instant for each step of the time.",
         schema(metrics_query() + "," + text_property("step", "such as 5m") + "," + times(),
                R"("query")"),
         [](const Call& call, const McpArguments& arguments) {
             return metrics(call, arguments, false);
         }},
        {"get-trace", "Read a trace",
         "One trace, summarised: errors and the critical path first, then operations by time.",
         schema(text_property("trace_id", "32 hexadecimal digits"), R"("trace_id")"), trace},
        {"trace-diff", "Compare two traces",
         "What differs between two traces, by operation: counts, errors, time.",
         schema(text_property("base_trace_id", "32 hexadecimal digits") + "," +
                    text_property("compare_trace_id", "32 hexadecimal digits"),
                R"("base_trace_id","compare_trace_id")"),
         diff},
        {"compare", "What is special about some spans",
         "Attribute values that are over-represented among selected spans, against the others.",
         schema(text_property("selection", "TraceQL filter, such as { status = error }") + "," +
                    text_property("baseline", "TraceQL filter of all that is looked at") + "," +
                    times(),
                R"("selection")"),
         compare},
        {"get-services", "Services", "Services with their rates, failures and durations.",
         schema(times()), services},
        {"get-attribute-names", "Attribute names", "Names of the attributes that spans have.",
         schema(R"("scope":{"type":"string","enum":["span","resource","event","link",)"
                R"("instrumentation","intrinsic"]})"),
         attribute_names},
        {"get-attribute-values", "Attribute values", "Values that an attribute has.",
         schema(text_property("name", "TraceQL field, such as span.http.route") + "," +
                    text_property("query", "TraceQL filter of the spans looked at"),
                R"("name")"),
         attribute_values},
        {"docs-traceql", "The language", "TraceQL on one page, with examples.", schema(""),
         docs_traceql},
        {"docs-config", "The configuration", "Every setting of the server and what it does.",
         schema(""), docs_config},
    };
    return tools;
}

}  // namespace spanloom::api
