#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace spanloom {

// Traces as Jaeger's query API and its UI's "download" give them ({"data":[{"spans":[..],
// "processes":{..}}]}), to an ExportTraceServiceRequest. Tags that stand for OTLP fields
// (span.kind, error, otel.status_*, otel.scope.*, w3c.tracestate) become these again.
Result<Blob> jaeger_json_to_otlp(std::string_view json);

}  // namespace spanloom
