#pragma once

#include <string>

#include "traceql/trace.h"

namespace spanloom::api {

// A trace in words, of at most about `bytes_max`: what it is, its errors, its critical path (the
// spans that decided how long it took), then its operations by the time they took.
std::string digest_trace(const traceql::Trace& trace, size_t bytes_max);

}  // namespace spanloom::api
