#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "sampling/head_shares.h"
#include "sampling/head_strategies.h"
#include "sampling/setting.h"
#include "store/store.h"

namespace spanloom::sampling {

// Documents (store/documents.h) that are written here alone: "strategies", "shares".
constexpr std::string_view kHeadSamplingKind = "head_sampling";

// What a client is told.
struct HeadAnswer {
    bool is_rate_limited = false;
    double param = 1;                // a share; of a rate-limited one traces a second
    double at_least_per_second = 0;  // of each operation
    bool has_operations = false;     // what is below counts
    std::vector<std::pair<std::string, double>> operations;  // shares by name
};

// The strategies in force, and where they come from.
using HeadInForce = InForce<HeadStrategies>;

// A service that asked how to sample.
struct HeadClient {
    std::string service;
    uint64_t asked_ns = 0;  // last; 0: not since the start
    HeadStrategy strategy;
    std::optional<ServiceShares> shares;  // where some of it adapts
};

// Tells clients how to sample where traces begin, and moves adaptive shares towards their targets
// by what was received. What is learned survives a restart. Thread-safe.
class HeadSampler {
  public:
    using Counting = std::function<Result<std::vector<RootCount>>(store::TimeRange)>;
    // Beyond it the one that asked longest ago is forgotten, first one of which nothing is learned.
    static constexpr size_t kClientsMax = kHeadServicesMax;
    static constexpr size_t kLearnedBytesMax = 768U << 10;  // names and shares of operations

    // Reads what was set and learned before. `configured`: the strategies of the configuration;
    // none: everything is sampled. `count`: the roots received in a range. All outlive it.
    static Result<std::unique_ptr<HeadSampler>> start(store::Documents& documents,
                                                      const Clock& clock, MetricsRegistry& metrics,
                                                      std::optional<HeadStrategies> configured,
                                                      Counting count);
    HeadSampler(const HeadSampler&) = delete;
    HeadSampler& operator=(const HeadSampler&) = delete;

    HeadAnswer answer(std::string_view service);
    std::vector<HeadClient> clients() const;  // by name

    std::shared_ptr<const HeadInForce> strategies() const { return setting_.get(); }
    // Takes others into force, durably, where `expected` is the version in force; kAlreadyExists
    // where it is another by now.
    Result<std::shared_ptr<const HeadInForce>> replace(std::string_view json, uint64_t expected) {
        return setting_.replace(json, expected);
    }
    // Back to those of the configuration.
    Result<std::shared_ptr<const HeadInForce>> reset(uint64_t expected) {
        return setting_.reset(expected);
    }

    // Adjusts the shares where it is time to. To be called every second or so, by one thread.
    void tick();

  private:
    struct Client {
        uint64_t asked_ns = 0;  // wall clock
        ServiceShares shares;   // share 0: nothing was learned
    };
    using Clients = std::map<std::string, Client, std::less<>>;

    HeadSampler(store::Documents& documents, const Clock& clock, MetricsRegistry& metrics,
                std::optional<HeadStrategies> configured, Counting count);
    void load_shares();
    void save_shares(const std::string& body);
    std::string shares_body() const;
    Client& asked(std::string_view service);
    bool adjust(const std::vector<RootCount>& counts, double seconds, uint64_t now_ns);

    store::Documents& documents_;
    const Clock& clock_;
    const Counting count_;
    Counter& answers_;
    Counter& adjustments_;
    Counter& failures_;
    Counter& overflows_;

    Setting<HeadStrategies> setting_;
    uint64_t adjusted_ns_ = 0;  // monotonic; of the thread that ticks
    mutable std::mutex mutex_;
    Clients clients_;
    size_t learned_bytes_ = 0;
};

}  // namespace spanloom::sampling
