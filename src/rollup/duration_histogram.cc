#include "rollup/duration_histogram.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace spanloom {

void DurationHistogram::make_room(uint32_t lowest, uint32_t highest) {
    constexpr uint32_t kSpare = 16;
    const uint32_t end = first_ + static_cast<uint32_t>(counts_.size());
    uint32_t from = lowest > kSpare ? lowest - kSpare : 0;
    uint32_t to = std::min(kBuckets, highest + 1 + kSpare);
    if (!counts_.empty()) {
        from = std::min(from, first_);
        to = std::max(to, end);
    }
    std::vector<uint64_t> counts(to - from);
    std::copy(counts_.begin(), counts_.end(),
              counts.begin() + (counts_.empty() ? 0 : static_cast<std::ptrdiff_t>(first_ - from)));
    counts_ = std::move(counts);
    first_ = from;
}

void DurationHistogram::add(std::span<const BucketCount> ascending) {
    if (ascending.empty()) return;
    const uint32_t lowest = ascending.front().bucket;
    const uint32_t highest = ascending.back().bucket;
    if (counts_.empty() || lowest < first_ || highest - first_ >= counts_.size())
        make_room(lowest, highest);
    for (const auto& [bucket, count] : ascending) {
        counts_[bucket - first_] += count;
        count_ += count;
    }
}

void DurationHistogram::add(const DurationHistogram& other) {
    if (other.counts_.empty()) return;
    const uint32_t highest = other.first_ + static_cast<uint32_t>(other.counts_.size()) - 1;
    if (counts_.empty() || other.first_ < first_ || highest - first_ >= counts_.size())
        make_room(other.first_, highest);
    const uint32_t shift = other.first_ - first_;
    for (size_t i = 0; i < other.counts_.size(); ++i)
        counts_[shift + i] += other.counts_[i];
    count_ += other.count_;
}

std::vector<std::pair<uint32_t, uint64_t>> DurationHistogram::buckets() const {
    std::vector<std::pair<uint32_t, uint64_t>> held;
    for (uint32_t i = 0; i < counts_.size(); ++i)
        if (counts_[i] > 0) held.emplace_back(first_ + i, counts_[i]);
    return held;
}

uint64_t DurationHistogram::quantile_ns(double q) const {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
    const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
    uint64_t seen = 0;
    uint32_t last = first_;
    for (uint32_t i = 0; i < counts_.size() && seen < rank; ++i) {
        seen += counts_[i];
        if (counts_[i] > 0) last = first_ + i;
    }
    return lower_bound_of(last) + (seen < rank ? 0 : width_of(last) / 2);
}

}  // namespace spanloom
