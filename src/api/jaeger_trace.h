#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "traceql/trace.h"

namespace spanloom::api {

// {"traceID":..,"spans":[..],"processes":{..},"warnings":..} as Jaeger's v1 API and UI have it.
// `rows`: those of one trace id.
void write_jaeger_trace(JsonWriter& json, const traceql::Trace& trace,
                        std::span<const uint32_t> rows);
// All rows, which are of one trace id.
void write_jaeger_trace(JsonWriter& json, const traceql::Trace& trace);

// The same JSON with line breaks and four blanks a level.
std::string indent_json(std::string_view json);

}  // namespace spanloom::api
