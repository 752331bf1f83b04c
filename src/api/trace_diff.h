#pragma once

#include "base/json_writer.h"
#include "traceql/trace.h"

namespace spanloom::api {

// What differs between two traces, by operation (service and span name): how often it ran, failed,
// and how long it took in each. Largest difference of time first.
void write_trace_diff(JsonWriter& json, const traceql::Trace& base, const traceql::Trace& compare);

}  // namespace spanloom::api
