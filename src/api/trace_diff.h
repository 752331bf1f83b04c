#pragma once

#include <string>
#include <string_view>

#include "api/call.h"

namespace spanloom::api {

// What differs between two traces, by operation (service and span name), as JSON: how often it ran,
// failed, and how long it took in each. Largest difference of time first.
Result<std::string> trace_diff(const Call& call, std::string_view base_id,
                               std::string_view compare_id);

}  // namespace spanloom::api
