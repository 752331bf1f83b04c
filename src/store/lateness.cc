#include "store/lateness.h"

#include <algorithm>

namespace spanloom::store {

Lateness::Lateness(std::span<const Arrived> parts) : references_(parts.size(), UINT64_MAX) {
    for (const Arrived& part : parts)
        arrivals_.push_back(part.arrival_ns_min);
    const auto first = std::min_element(
        parts.begin(), parts.end(),
        [](const Arrived& a, const Arrived& b) { return a.arrival_ns_min < b.arrival_ns_min; });
    if (first == parts.end()) return;
    if (first->arrival_ns_min > first->end_ns_max)
        delay_ns_ = first->arrival_ns_min - first->end_ns_max;
    for (size_t i = 0; i < parts.size(); ++i) {
        bool has_before = false;
        uint64_t reference = 0;
        for (const Arrived& other : parts) {
            if (other.arrival_ns_max >= parts[i].arrival_ns_min) continue;
            has_before = true;
            reference = std::max(reference, other.end_ns_max);
        }
        if (has_before) references_[i] = reference;
    }
}

uint64_t Lateness::of(size_t part, uint64_t end_ns) const {
    if (!may_be_late(part)) return 0;
    const uint64_t since = std::max(end_ns, references_[part]);
    const uint64_t arrival = arrivals_[part];
    if (arrival <= since || arrival - since <= delay_ns_) return 0;
    const uint64_t late = arrival - since - delay_ns_;
    return late >= kLateNs ? late : 0;
}

}  // namespace spanloom::store
