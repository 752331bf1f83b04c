#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "store/search.h"

namespace spanloom::store {

// The trace as read_trace() gives it, for whoever shows it or passes it on: where a keep rule chose
// it by chance, its spans say by which threshold (`ot=th` of their trace states), unless they have
// a stricter one.
Result<StoredTrace> read_sampled_trace(Segments segments, const TraceId& id);

// One span's message, its trace state raised to the threshold, behind what `out` holds.
void append_sampled_span(std::string_view span, uint64_t threshold, std::string& out);

// The highest threshold by which a keep rule chose some of its spans; 0: by none.
Result<uint64_t> trace_threshold(Segments segments, const TraceId& id);

}  // namespace spanloom::store
