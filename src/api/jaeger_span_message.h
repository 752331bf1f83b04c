#pragma once

#include <cstdint>
#include <string>

#include "traceql/trace.h"

namespace spanloom::api {

// Appends a jaeger.api_v2.Span (model.proto of jaeger-idl) with its process, as a field of a
// message.
void write_jaeger_span(std::string& out, uint32_t field, const traceql::Trace& trace, uint32_t row);

}  // namespace spanloom::api
