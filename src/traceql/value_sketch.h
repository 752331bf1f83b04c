#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spanloom::traceql {

// Numbers and their weights, of which a quantile is wanted. The first kExactMax values are kept as
// they are; beyond that they are counted in buckets at most 1/64 of their lower bound wide, so that
// an answer is within 0.8 % of a value that was there. What comes out does not depend on the order
// in which values came in. One thread.
class ValueSketch {
  public:
    static constexpr size_t kExactMax = 64;

    void add(double value, double weight);
    // A value, which is a number, of weight 1, where that takes no more room; false: add() it.
    bool add_in_place(double value) {
        if (is_exact_) {
            if (exact_.size() == exact_.capacity()) return false;
            exact_.push_back({value, 1});
        } else {
            const bool has_room = fresh_.size() + 1 < std::min(fresh_.capacity(), kFreshMax);
            if (!has_room || !is_fresh(value)) return false;
            fresh_.push_back(fresh_key(value));
        }
        total_ += 1;
        return true;
    }
    void add(const ValueSketch& other);
    // Values are kept as they are.
    bool is_exact() const { return is_exact_; }
    // For each of the shares the smallest value that at least this share of the weight does not
    // exceed. NaN when empty.
    std::vector<double> quantiles(std::span<const double> shares) const;
    // Beside the object itself.
    size_t memory_bytes() const;

  private:
    struct Exact {
        double value = 0;
        double weight = 0;
    };
    struct Bucket {
        uint32_t key = 0;
        double weight = 0;
    };

    // Fresh values that are kept before they are counted: 8 KiB.
    static constexpr size_t kFreshMax = 4'096;
    static constexpr size_t kFreshMin = 256;
    static constexpr uint32_t kMiddle = 1U << 17;
    // The bucket of 1. Those from there to 2^63, all durations but 0, are numbers of 16 bits.
    static constexpr uint32_t kFreshFirst = kMiddle + (1023U << 6);

    // The exponent and the first six bits of the mantissa, in the order of the numbers.
    static uint32_t bucket_of(double value) {
        const auto bits = std::bit_cast<uint64_t>(value);
        const auto magnitude = static_cast<uint32_t>((bits & ~(uint64_t{1} << 63)) >> 46);
        return bits >> 63 != 0 ? kMiddle - 1 - magnitude : kMiddle + magnitude;
    }
    static bool is_fresh(double value) { return value >= 1 && value < 0x1p63; }
    static uint16_t fresh_key(double value) {
        return static_cast<uint16_t>(bucket_of(value) - kFreshFirst);
    }
    static double middle_of(uint32_t bucket);
    void count_exact();
    void count(double value, double weight);
    void count_bucket(uint32_t key, double weight);
    void count_fresh();
    std::vector<Bucket> all_buckets() const;

    bool is_exact_ = true;
    std::vector<Exact> exact_;
    std::vector<Bucket> buckets_;  // ascending
    // The buckets of values of weight 1 that are not counted there yet, from kFreshFirst on, as
    // they came: most sketches are so small that counting them once, at the end, is all it takes.
    std::vector<uint16_t> fresh_;  // none while is_exact_
    double total_ = 0;
};

}  // namespace spanloom::traceql
