#include "traceql/names.h"

#include <array>
#include <vector>

#include "traceql/error.h"

namespace spanloom::traceql {
namespace {

using store::Intrinsic;
using store::Value;

constexpr std::array<IntrinsicName, 41> kIntrinsics = {{
    {"duration", Intrinsic::kDuration},
    {"span:duration", Intrinsic::kDuration},
    {"name", Intrinsic::kName},
    {"span:name", Intrinsic::kName},
    {"status", Intrinsic::kStatus},
    {"span:status", Intrinsic::kStatus},
    {"statusMessage", Intrinsic::kStatusMessage},
    {"span:statusMessage", Intrinsic::kStatusMessage},
    {"kind", Intrinsic::kKind},
    {"span:kind", Intrinsic::kKind},
    {"span:id", Intrinsic::kSpanId},
    {"span:parentID", Intrinsic::kParentId},
    {"span:childCount", Intrinsic::kChildCount},
    {"childCount", Intrinsic::kChildCount},
    {"traceDuration", Intrinsic::kTraceDuration},
    {"trace:duration", Intrinsic::kTraceDuration},
    {"rootName", Intrinsic::kRootName},
    {"trace:rootName", Intrinsic::kRootName},
    {"rootServiceName", Intrinsic::kRootService},
    {"trace:rootService", Intrinsic::kRootService},
    {"trace:id", Intrinsic::kTraceId},
    {"event:name", Intrinsic::kEventName},
    {"event:timeSinceStart", Intrinsic::kEventTimeSinceStart},
    {"link:traceID", Intrinsic::kLinkTraceId},
    {"link:spanID", Intrinsic::kLinkSpanId},
    {"instrumentation:name", Intrinsic::kInstrumentationName},
    {"instrumentation:version", Intrinsic::kInstrumentationVersion},
    {"nestedSetParent", Intrinsic::kNestedSetParent},
    {"nestedSetLeft", Intrinsic::kNestedSetLeft},
    {"nestedSetRight", Intrinsic::kNestedSetRight},
    // What people write from memory of the protocol or of other tools.
    {"span:traceState", Intrinsic::kTraceState},
    {"traceState", Intrinsic::kTraceState},
    {"span:sampled", Intrinsic::kSampled},
    {"span:start", Intrinsic::kStart},
    {"span:nestedSetParent", Intrinsic::kNestedSetParent},
    {"span:nestedSetLeft", Intrinsic::kNestedSetLeft},
    {"span:nestedSetRight", Intrinsic::kNestedSetRight},
    {"span:parentId", Intrinsic::kParentId},
    {"link:traceId", Intrinsic::kLinkTraceId},
    {"link:spanId", Intrinsic::kLinkSpanId},
    {"span:spanID", Intrinsic::kSpanId},
}};

constexpr std::array<std::string_view, 6> kKinds = {"unspecified", "internal", "server",
                                                    "client",      "producer", "consumer"};
constexpr std::array<std::string_view, 3> kStatuses = {"unset", "ok", "error"};

constexpr std::array<std::string_view, 5> kAggregates = {"count", "avg", "min", "max", "sum"};
constexpr std::array<std::string_view, 9> kMetrics = {
    "rate",          "count_over_time",    "sum_over_time",       "min_over_time", "max_over_time",
    "avg_over_time", "quantile_over_time", "histogram_over_time", "compare"};

struct FunctionName {
    std::string_view name;
    FunctionKind kind;
};
constexpr std::array<FunctionName, 19> kFunctions = {{
    {"count", FunctionKind::kAggregate},
    {"avg", FunctionKind::kAggregate},
    {"min", FunctionKind::kAggregate},
    {"max", FunctionKind::kAggregate},
    {"sum", FunctionKind::kAggregate},
    {"by", FunctionKind::kBy},
    {"coalesce", FunctionKind::kCoalesce},
    {"select", FunctionKind::kSelect},
    {"rate", FunctionKind::kMetric},
    {"count_over_time", FunctionKind::kMetric},
    {"sum_over_time", FunctionKind::kMetric},
    {"min_over_time", FunctionKind::kMetric},
    {"max_over_time", FunctionKind::kMetric},
    {"avg_over_time", FunctionKind::kMetric},
    {"quantile_over_time", FunctionKind::kMetric},
    {"histogram_over_time", FunctionKind::kMetric},
    {"topk", FunctionKind::kSecond},
    {"bottomk", FunctionKind::kSecond},
    {"compare", FunctionKind::kCompare},
}};

std::string_view scope_prefix(store::Scope scope) {
    switch (scope) {
        case store::Scope::kSpan:
            return "span.";
        case store::Scope::kResource:
            return "resource.";
        case store::Scope::kEvent:
            return "event.";
        case store::Scope::kLink:
            return "link.";
        case store::Scope::kInstrumentation:
            return "instrumentation.";
        default:
            return ".";
    }
}

}  // namespace

std::span<const IntrinsicName> intrinsic_names() {
    return kIntrinsics;
}

std::optional<Intrinsic> intrinsic_of(std::string_view name) {
    for (const IntrinsicName& known : kIntrinsics) {
        if (known.name == name) return known.intrinsic;
    }
    return std::nullopt;
}

std::string_view intrinsic_name(Intrinsic intrinsic) {
    for (const IntrinsicName& known : kIntrinsics) {
        if (known.intrinsic == intrinsic) return known.name;
    }
    return "";
}

std::optional<Value> keyword_value(std::string_view word) {
    if (word == "true") return Value::of_bool(true);
    if (word == "false") return Value::of_bool(false);
    if (word == "nil") return Value::nil();
    if (word == "minInt") return Value::of_int(INT64_MIN);
    if (word == "maxInt") return Value::of_int(INT64_MAX);
    for (size_t i = 0; i < kKinds.size(); ++i) {
        if (kKinds[i] == word) return Value::of_kind(static_cast<otlp::SpanKind>(i));
    }
    for (size_t i = 0; i < kStatuses.size(); ++i) {
        if (kStatuses[i] == word) return Value::of_status(static_cast<otlp::StatusCode>(i));
    }
    return std::nullopt;
}

std::string_view kind_keyword(otlp::SpanKind kind) {
    return kKinds[std::min<size_t>(static_cast<size_t>(kind), kKinds.size() - 1)];
}

std::string_view status_keyword(otlp::StatusCode status) {
    return kStatuses[std::min<size_t>(static_cast<size_t>(status), kStatuses.size() - 1)];
}

std::optional<FunctionKind> function_of(std::string_view name) {
    for (const FunctionName& known : kFunctions) {
        if (known.name == name) return known.kind;
    }
    return std::nullopt;
}

std::optional<Aggregate> aggregate_of(std::string_view name) {
    for (size_t i = 0; i < kAggregates.size(); ++i) {
        if (kAggregates[i] == name) return static_cast<Aggregate>(i);
    }
    return std::nullopt;
}

std::string_view aggregate_name(Aggregate aggregate) {
    return kAggregates[static_cast<size_t>(aggregate)];
}

Metric metric_of(std::string_view name) {
    for (size_t i = 0; i < kMetrics.size(); ++i) {
        if (kMetrics[i] == name) return static_cast<Metric>(i);
    }
    return Metric::kRate;
}

std::string field_text(const store::Field& field) {
    if (field.scope == store::Scope::kIntrinsic)
        return std::string(intrinsic_name(field.intrinsic));
    std::string out(scope_prefix(field.scope));
    const bool is_plain =
        !field.key.empty() &&
        field.key.find_first_of(" \t\r\n{}()=~!<>&|^,\"\\") == std::string::npos &&
        field.key[0] != '.' && !(field.key[0] >= '0' && field.key[0] <= '9');
    if (is_plain) return out + field.key;
    out += '"';
    for (const char c : field.key) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

std::string_view nearest_word(std::string_view written) {
    std::vector<std::string_view> words = {"true", "false", "nil", "minInt", "maxInt", "with"};
    for (const IntrinsicName& known : kIntrinsics)
        words.push_back(known.name);
    words.insert(words.end(), kKinds.begin(), kKinds.end());
    words.insert(words.end(), kStatuses.begin(), kStatuses.end());
    for (const FunctionName& known : kFunctions)
        words.push_back(known.name);
    return nearest_name(written, words.data(), words.size());
}

}  // namespace spanloom::traceql
