#pragma once

#include "spanloom/timestamp.h"
#include "spanloom/tracer_provider.h"

namespace spanloom::sdk {

// From its first span on, SIGTERM and SIGINT, where their action is still the default one, first
// shut the provider down (for at most so long) on a thread of its own, and then end the process as
// they would have. Also in a forked child, from its first span on. One provider in a process: the
// latest counts.
void flush_on_signals(const TracerProvider& provider, Duration timeout);

// In the child of a fork: its signals are not the parent's.
void leave_signals_to_parent() noexcept;

}  // namespace spanloom::sdk
