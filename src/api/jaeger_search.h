#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/call.h"
#include "store/search.h"

namespace spanloom::api {

// What Jaeger's search form asks: everything must hold on one span.
struct JaegerQuestion {
    std::string service;
    std::string operation;
    std::vector<std::pair<std::string, std::string>> tags;
    std::optional<int64_t> duration_min_ns;
    std::optional<int64_t> duration_max_ns;
    store::TimeRange range;
    uint32_t limit = 100;

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
std::string_view kind_name(otlp::SpanKind kind);

}  // namespace spanloom::api
