#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace spanloom::sdk {

// The threshold that keeps about so many spans a second of however many start.
// It follows the rate of starts, smoothed over a second, and never looks at a
// trace's randomness: so a kept span stands for exactly as many as its
// threshold says, whatever the rate did. Any thread, without waiting.
class AdaptiveThreshold {
  public:
    // The clock must outlive it.
    AdaptiveThreshold(double per_second, const Clock& clock) noexcept;

    // Counts one span and gives its threshold; kThresholdEnd where nothing is to
    // be kept.
    uint64_t next() noexcept;
    double per_second() const noexcept { return per_second_; }

  private:
    uint64_t update(uint64_t starts, uint64_t now_ns) noexcept;

    double per_second_;
    const Clock& clock_;
    std::atomic<uint64_t> starts_ = 0;  // not yet in `weighted_starts_`
    std::atomic<uint64_t> threshold_;
    std::atomic_flag is_updating_ = ATOMIC_FLAG_INIT;
    // ---- of the thread that holds is_updating_
    // Both decay alike; what is between them is the smoothed rate. At the start
    // there was nothing for a second.
    double weighted_starts_ = 0;
    double weighted_ns_ = 1e9;
    uint64_t updated_ns_;
};

}  // namespace spanloom::sdk
