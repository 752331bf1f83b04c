#include "rollup/duration_histogram.h"

#include <algorithm>
#include <cmath>

namespace spanloom {

void DurationHistogram::add(uint32_t bucket, uint64_t count) {
    count_ += count;
    const auto at = std::lower_bound(buckets_.begin(), buckets_.end(), bucket,
                                     [](const std::pair<uint32_t, uint64_t>& one, uint32_t wanted) {
                                         return one.first < wanted;
                                     });
    if (at != buckets_.end() && at->first == bucket) {
        at->second += count;
    } else {
        buckets_.insert(at, {bucket, count});
    }
}

void DurationHistogram::add(const DurationHistogram& other) {
    for (const auto& [bucket, count] : other.buckets_)
        add(bucket, count);
}

uint64_t DurationHistogram::quantile_ns(double q) const {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
    const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
    uint64_t seen = 0;
    for (const auto& [bucket, count] : buckets_) {
        seen += count;
        if (seen < rank) continue;
        return lower_bound_of(bucket) + width_of(bucket) / 2;
    }
    return lower_bound_of(buckets_.back().first);
}

}  // namespace spanloom
