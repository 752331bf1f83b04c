#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace spanloom {

// How much of something lies in a bucket.
struct BucketCount {
    uint32_t bucket = 0;
    uint64_t count = 0;
    bool operator==(const BucketCount&) const = default;
};

// Counts durations in buckets that are at most 1/16 of their lower bound wide: exact below 32 ns,
// within 3.2 % above. What lies between the lowest and the highest bucket costs memory. One thread.
class DurationHistogram {
  public:
    static constexpr uint32_t kBuckets = 16 + 60 * 16;

    static uint32_t bucket_of(uint64_t duration_ns) {
        if (duration_ns < 16) return static_cast<uint32_t>(duration_ns);
        const auto shift = static_cast<uint32_t>(std::bit_width(duration_ns)) - 5;
        return shift * 16 + static_cast<uint32_t>(duration_ns >> shift);
    }
    static uint64_t lower_bound_of(uint32_t bucket) {
        if (bucket < 32) return bucket;
        const uint32_t shift = bucket / 16 - 1;
        return uint64_t{16 + bucket % 16} << shift;
    }
    static uint64_t width_of(uint32_t bucket) {
        return bucket < 32 ? 1 : uint64_t{1} << (bucket / 16 - 1);
    }

    void add(uint32_t bucket, uint64_t count) {
        count_ += count;
        if (bucket < first_ || bucket - first_ >= counts_.size()) make_room(bucket, bucket);
        counts_[bucket - first_] += count;
    }
    void add(std::span<const BucketCount> ascending);
    void add(const DurationHistogram& other);
    uint64_t count() const { return count_; }
    // Of q in [0, 1], the duration that this share of all does not exceed (nearest rank, the middle
    // of its bucket). 0 where nothing is counted.
    uint64_t quantile_ns(double q) const;
    // Those that hold something, ascending.
    std::vector<std::pair<uint32_t, uint64_t>> buckets() const;

  private:
    // Of buckets lowest to highest, and some beyond them: neighbours are likely to come.
    void make_room(uint32_t lowest, uint32_t highest);

    uint32_t first_ = 0;
    std::vector<uint64_t> counts_;  // of bucket first_ and on
    uint64_t count_ = 0;
};

}  // namespace spanloom
