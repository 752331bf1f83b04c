#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spanloom::store {

// A part of a trace: when its spans came, as exactly as its segment knows (a segment knows when its
// first and its last span came; merging makes this wider, but never wider than an hour).
struct Arrived {
    uint64_t arrival_ns_min = 0;
    uint64_t arrival_ns_max = 0;
    uint64_t end_ns_max = 0;  // of its spans
};

// Spans that came this much later are late.
constexpr uint64_t kLateNs = 30'000'000'000;

// For each part, the time that its spans are measured against, or UINT64_MAX where none of them can
// be called late. A span is late by at least
//     arrival_ns_min - max(end of the span, reference) - delay
// where the reference is the latest end among what surely came before: so a service whose clock is
// behind makes no span late, and a trace that still runs makes none either. The delay is what the
// trace's first part took, which is the clock of its senders against ours, or how slow they are.
struct Lateness {
    explicit Lateness(std::span<const Arrived> parts);
    // By how much at least; 0 where the span is not late.
    uint64_t of(size_t part, uint64_t end_ns) const;
    // False: no span of it is.
    bool may_be_late(size_t part) const { return references_[part] != UINT64_MAX; }

  private:
    std::vector<uint64_t> arrivals_;
    std::vector<uint64_t> references_;
    uint64_t delay_ns_ = 0;
};

}  // namespace spanloom::store
