#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sampling/forward_journal.h"
#include "store/search.h"

namespace spanloom::sampling {

// One OTLP request with the spans of some entries, or with a part of one entry's.
struct ForwardRequest {
    std::string bytes;                  // ExportTraceServiceRequest; "" where nothing is stored
    std::vector<ForwardEntry> entries;  // that are done once it was taken
    std::vector<uint32_t> rows;         // of each, with what was stored twice
    uint64_t spans = 0;
    uint64_t traces = 0;  // of the entries, those that have a span in some request
    uint64_t gone = 0;    // and those that are not stored any more
    ForwardFate fate = ForwardFate::kTaken;  // once it is known
};

struct ForwardReading {
    std::vector<ForwardRequest> requests;
    std::vector<ForwardEntry> left;  // the last of those asked for, where there was too much
    std::string damage;              // why something was left out
};

// Clocks go so far back that nobody looks after it.
constexpr uint64_t kArrivalSlackNs = 2'000'000'000;

struct ForwardReadLimits {
    size_t rows_max = 16'384;         // about, of all requests
    size_t request_bytes = 1U << 20;  // about, of each
    // Between the arrival of a trace's first span and the decision about it, where an entry does
    // not say when that was, and much to spare.
    uint64_t held_ns_max = UINT64_MAX;
};

// Reads what is stored of entries, in their order. Spans come as they were received, but for the
// thresholds by which their traces were chosen (`ot=th` of their trace states).
ForwardReading read_forwarded(store::Segments segments, std::vector<ForwardEntry> entries,
                              const ForwardReadLimits& limits);

}  // namespace spanloom::sampling
