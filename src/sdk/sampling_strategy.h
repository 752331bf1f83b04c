#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "sdk/adaptive_threshold.h"
#include "spanloom/sampler.h"

namespace spanloom::sdk {

// How one operation is sampled, by Jaeger's remote sampling. Any thread.
class OperationStrategy {
  public:
    // A share of all traces, and at least so many of this operation a second (0:
    // no such promise).
    OperationStrategy(double probability, double lower_bound_per_second, const Clock& clock);
    // About so many traces a second.
    static std::unique_ptr<OperationStrategy> rate_limited(double per_second, const Clock& clock);

    SamplingResult decide(const SamplingParameters& parameters) noexcept;

  private:
    bool take_lower_bound() noexcept;
    SamplingResult sampled(const SamplingParameters& parameters, const char* type, double parameter,
                           const uint64_t* threshold) noexcept;

    double probability_;
    uint64_t threshold_;
    double lower_bound_;
    const Clock& clock_;
    std::unique_ptr<AdaptiveThreshold> limit_;      // of a rate-limited one
    std::atomic<uint64_t> lower_bound_due_ns_ = 0;  // when the next one may be taken for it
};

// What a server answered for one service. Immutable but for what its operations
// count.
class SamplingStrategy {
  public:
    // Jaeger's JSON (SamplingStrategyResponse): per-operation strategies where
    // there are any, else the service's own. Unknown fields are passed over. The
    // clock must outlive it.
    static Result<std::unique_ptr<SamplingStrategy>> parse(std::string_view json,
                                                           const Clock& clock);

    SamplingResult decide(const SamplingParameters& parameters) noexcept;

  private:
    std::unique_ptr<OperationStrategy> others_;
    std::map<std::string, std::unique_ptr<OperationStrategy>, std::less<>> operations_;
};

}  // namespace spanloom::sdk
