#pragma once

#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "traceql/trace.h"

namespace spanloom::api {

// The trace as a list of Zipkin v2 spans.
void write_zipkin_trace(JsonWriter& json, const traceql::Trace& trace);

// ASCII letters alone, as Zipkin's servers do.
std::string lower_case(std::string_view text);

}  // namespace spanloom::api
