#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "store/delays.h"

namespace spanloom::store {

// A part of a trace: when its spans came, as exactly as is known.
struct Arrived {
    uint64_t arrival_ns_min = 0;
    uint64_t arrival_ns_max = 0;
    uint64_t end_ns_max = 0;  // of its spans
    // None of its spans was delayed (Delays): each came less than that after its end, and when
    // exactly does not matter.
    bool came_in_time = false;
};

// Spans that came this much later are late.
constexpr uint64_t kLateNs = kDelayNs;

// A span is late by at least
//     arrival_ns_min of its part - max(end of the span, reference) - delay
// where the reference is the latest end among what came before: so a service whose clock is behind
// makes no span late, and a trace that still runs makes none either. The delay is what the trace's
// first part took where that is long, which is the clock of its senders against ours, or how slow
// they are. Nothing is late where it is not sure that something came before.
struct Lateness {
    // `ends_in_time`: of the spans of parts that came in time, in any order.
    explicit Lateness(std::span<const Arrived> parts, std::vector<uint64_t> ends_in_time = {});
    // By how much at least; 0 where the span is not late.
    uint64_t of(size_t part, uint64_t end_ns) const;
    // False: no span of it is.
    bool may_be_late(size_t part) const { return references_[part] != UINT64_MAX; }

  private:
    std::vector<uint64_t> arrivals_;
    std::vector<uint64_t> references_;  // UINT64_MAX: none
    uint64_t delay_ns_ = 0;
};

}  // namespace spanloom::store
