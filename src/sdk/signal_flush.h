#pragma once

#include "spanloom/timestamp.h"
#include "spanloom/tracer_provider.h"

namespace spanloom::sdk {

// From now on SIGTERM and SIGINT, where their action is still the default one, first shut the
// provider down (for at most so long) on a thread of its own, and then end the process as they
// would have. Once in a process; the first provider counts.
void flush_on_signals(TracerProvider provider, Duration timeout);

}  // namespace spanloom::sdk
