#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace spanloom::sampling {

// What the paths of a condition speak of.
enum class OttlContext : uint8_t { kSpan, kEvent };

// A condition of the Collector's OTTL as one inside TraceQL's braces. kUnsupported says what of it
// TraceQL has no words for.
Result<std::string> translate_ottl(std::string_view text, OttlContext context);

}  // namespace spanloom::sampling
