#include "sdk/adaptive_threshold.h"

#include <cmath>

#include "sdk/probability.h"

namespace spanloom::sdk {
namespace {

constexpr double kMemoryNs = 1e9;  // what is older than this counts for little

}  // namespace

AdaptiveThreshold::AdaptiveThreshold(double per_second, const Clock& clock) noexcept
    : per_second_(per_second),
      clock_(clock),
      threshold_(per_second > 0 ? 0 : kThresholdEnd),
      updated_ns_(clock.monotonic_ns()) {}

uint64_t AdaptiveThreshold::next() noexcept {
    if (!(per_second_ > 0)) return kThresholdEnd;
    starts_.fetch_add(1, std::memory_order_relaxed);
    // Whoever comes while another thread counts takes the threshold that holds
    // just now.
    if (is_updating_.test_and_set(std::memory_order_acquire))
        return threshold_.load(std::memory_order_relaxed);
    const uint64_t threshold =
        update(starts_.exchange(0, std::memory_order_relaxed), clock_.monotonic_ns());
    threshold_.store(threshold, std::memory_order_relaxed);
    is_updating_.clear(std::memory_order_release);
    return threshold;
}

uint64_t AdaptiveThreshold::update(uint64_t starts, uint64_t now_ns) noexcept {
    const double passed_ns = now_ns > updated_ns_ ? static_cast<double>(now_ns - updated_ns_) : 0;
    updated_ns_ = now_ns;
    const double remembered = std::exp(-passed_ns / kMemoryNs);
    weighted_starts_ = weighted_starts_ * remembered + static_cast<double>(starts);
    weighted_ns_ = weighted_ns_ * remembered + passed_ns;
    const double probability = per_second_ * weighted_ns_ * 1e-9 / weighted_starts_;
    return threshold_of(std::fmin(1.0, std::fmax(probability, kProbabilityMin)));
}

}  // namespace spanloom::sdk
