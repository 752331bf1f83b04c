#include "store/lateness.h"

#include <algorithm>
#include <utility>

namespace spanloom::store {
namespace {

// What the part that came first took, if that is long. What came in time came first where it ended
// before that.
uint64_t delay_of_first(std::span<const Arrived> parts, std::span<const uint64_t> ends_in_time) {
    uint64_t arrival_ns = UINT64_MAX;
    uint64_t end_ns = 0;
    for (const Arrived& part : parts) {
        if (part.came_in_time || part.arrival_ns_min > arrival_ns) continue;
        if (part.arrival_ns_min < arrival_ns) end_ns = 0;
        arrival_ns = part.arrival_ns_min;
        end_ns = std::max(end_ns, part.end_ns_max);
    }
    if (arrival_ns == UINT64_MAX || arrival_ns < end_ns || arrival_ns - end_ns < kDelayNs) return 0;
    const bool is_first = ends_in_time.empty() || ends_in_time.front() >= arrival_ns;
    return is_first ? arrival_ns - end_ns : 0;
}

}  // namespace

Lateness::Lateness(std::span<const Arrived> parts, std::vector<uint64_t> ends_in_time)
    : references_(parts.size(), UINT64_MAX) {
    std::sort(ends_in_time.begin(), ends_in_time.end());
    delay_ns_ = delay_of_first(parts, ends_in_time);
    // Parts by their last arrival, each with the latest end up to it.
    std::vector<std::pair<uint64_t, uint64_t>> before;
    for (const Arrived& part : parts) {
        arrivals_.push_back(part.arrival_ns_min);
        if (!part.came_in_time) before.emplace_back(part.arrival_ns_max, part.end_ns_max);
    }
    std::sort(before.begin(), before.end());
    for (size_t i = 1; i < before.size(); ++i)
        before[i].second = std::max(before[i].second, before[i - 1].second);
    for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].came_in_time) continue;
        const uint64_t arrival_ns = arrivals_[i];
        // Not sooner than kDelayNs after its end it is sure that a span has come; but if it has
        // ended only, the trace still ran.
        const auto ended = std::lower_bound(ends_in_time.begin(), ends_in_time.end(), arrival_ns);
        const bool has_come = !ends_in_time.empty() && ends_in_time.front() < arrival_ns &&
                              arrival_ns - ends_in_time.front() > kDelayNs + kNsPerSecond;
        const auto part = std::lower_bound(before.begin(), before.end(),
                                           std::pair<uint64_t, uint64_t>(arrival_ns, 0));
        if (!has_come && part == before.begin()) continue;
        uint64_t reference = ended == ends_in_time.begin() ? 0 : *std::prev(ended);
        if (part != before.begin()) reference = std::max(reference, std::prev(part)->second);
        references_[i] = reference;
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
