#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/call.h"
#include "store/search.h"

namespace spanloom::api {

// A parameter as one version of the API spells it, for its errors. Empty text: absent.
struct NamedText {
    std::string_view name;
    std::string_view text;
};

// What Jaeger's search form asks: everything must hold on one span. HTTP v1, v3 and gRPC spell it
// differently and mean the same.
struct JaegerQuestion {
    std::string service;
    std::string operation;
    std::vector<std::pair<std::string, std::string>> tags;
    std::optional<int64_t> duration_min_ns;
    std::optional<int64_t> duration_max_ns;
    std::optional<store::Predicate> filter;  // instead of the above
    store::TimeRange range;
    uint32_t limit = kLimitDefault;

    static constexpr uint32_t kLimitDefault = 100;

    Result<void> set_durations(NamedText min, NamedText max);
    // 0 and less mean the default, as in Jaeger.
    Result<void> set_limit(NamedText text, uint32_t max);
    // Refused beside the others, which must be set before.
    Result<void> set_filter(store::Predicate predicate);

    store::SearchRequest request(const Call& call) const;
};

// The spans that carry the tag, wherever it lives: attributes of the span, its resource or an
// event, and what Jaeger shows as tags (error, span.kind, otel.status_code and so on).
store::Predicate tag_predicate(const std::string& key, const std::string& value);
store::Predicate service_predicate(std::string_view service);

// A JSON object of strings (numbers and booleans are taken as they are written).
Result<std::vector<std::pair<std::string, std::string>>> parse_tags_json(std::string_view name,
                                                                         std::string_view json);

// Names of services, sorted.
Result<std::vector<std::string>> service_names(const Call& call);

struct Operation {
    std::string name;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
};
// Operations of a service, by name, then kind; of one kind where given.
Result<std::vector<Operation>> operations(const Call& call, std::string_view service,
                                          std::optional<otlp::SpanKind> kind);
// "server" and the like, in any case; nullopt for other words.
std::optional<otlp::SpanKind> parse_kind(std::string_view word);
// The same for a parameter: nullopt where it is absent, an error for other words.
Result<std::optional<otlp::SpanKind>> kind_parameter(NamedText text);
std::string_view kind_name(otlp::SpanKind kind);

}  // namespace spanloom::api
