#pragma once

#include <string>

#include "base/result.h"
#include "main/terminal.h"
#include "otlp/batch.h"

namespace spanloom {

// A trace drawn for a terminal: one line per span in depth-first order, with service, name,
// duration, a bar over the trace's time, and errors. Copes with cycles, orphans and several roots.
std::string draw_trace(const Batch& trace, const Terminal& terminal);

}  // namespace spanloom
