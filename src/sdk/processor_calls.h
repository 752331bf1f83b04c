#pragma once

#include <memory>
#include <vector>

#include "spanloom/processor.h"

namespace spanloom::sdk {

// Call all processors at the same time, so that none eats the others' time, and return by the
// deadline whatever they do. True where each had done all by then.
bool flush_all(const std::vector<std::shared_ptr<SpanProcessor>>& processors,
               Deadline deadline) noexcept;
bool shut_down_all(const std::vector<std::shared_ptr<SpanProcessor>>& processors,
                   Deadline deadline) noexcept;

}  // namespace spanloom::sdk
