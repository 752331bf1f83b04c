#pragma once

#include <string>

#include "base/result.h"
#include "send/pieces.h"

namespace spanloom::send {

// A serialised ExportTraceServiceRequest as OTLP/JSON, on one line.
Result<std::string> request_json(const Pieces& request);

}  // namespace spanloom::send
