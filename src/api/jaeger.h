#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/router.h"
#include "api/trace_cache.h"

namespace spanloom::api {

// Jaeger's query API over HTTP: v1 (its UI, Grafana, scripts) and v3.
void add_jaeger(Router& router);
void add_jaeger3(Router& router);
void add_jaeger_dependencies(Router& router);
// Rate, errors and durations of services (its "Monitor" page).
void add_jaeger_metrics(Router& router);
// jaeger.api_v3.QueryService, and jaeger.api_v2.QueryService of older clients.
void add_jaeger_grpc(Router& router);
void add_jaeger2_grpc(Router& router);

// Of a server without keep rules, which so has no pins.
constexpr std::string_view kNoArchive =
    "there is no archive storage: traces are kept by the retention rules";

// read_trace() that says what is not there as Jaeger does.
Result<std::shared_ptr<const CachedTrace>> read_jaeger_trace(Call& call, const TraceId& id);

// An entry of v1's "errors".
struct JaegerFailure {
    int code = 0;  // 0: none
    std::string message;
    std::string trace_id;
};
// The envelope of all v1 answers; `data` is JSON.
http::Response jaeger_envelope(const Call& call, std::string_view data, size_t total,
                               const std::vector<JaegerFailure>& failures = {});

}  // namespace spanloom::api
