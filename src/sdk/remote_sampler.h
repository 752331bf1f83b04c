#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "sdk/sampling_strategy.h"
#include "spanloom/samplers.h"

namespace spanloom::sdk {

// Where strategies come from. One thread, but for `interrupt`.
class StrategySource {
  public:
    virtual ~StrategySource() = default;
    // The JSON for a service, by the deadline (the clock's monotonic time).
    virtual Result<std::string> fetch(std::string_view service, uint64_t deadline_ns) = 0;
    // Ends the fetch under way, and every later one.
    virtual void interrupt() {}
    // In the child of a fork, before its first fetch.
    virtual void after_fork() {}
};

// GET <endpoint>/sampling?service=..., over HTTP. The clock must outlive it.
Result<std::unique_ptr<StrategySource>> make_http_strategy_source(const std::string& endpoint,
                                                                  const Clock& clock);

// Asks for the strategy at intervals, on a thread that the first span starts
// (again in a forked child), and samples by the last good answer. Spans never
// wait for it.
class RemoteSampler final : public Sampler {
  public:
    // `source` null: made by the options' endpoint. Without a thread of its own,
    // `poll` is called by a test.
    RemoteSampler(RemoteSamplerOptions options, std::unique_ptr<StrategySource> source,
                  const Clock& clock, bool has_thread = true);
    ~RemoteSampler() override;

    SamplingResult should_sample(const SamplingParameters& parameters) noexcept override;
    std::string description() const override;

    // Asks once; what is wrong with the answer, where something is.
    Result<void> poll();

  private:
    struct Poller;
    void start_thread() noexcept;
    void run(Poller& poller);
    void replace(std::unique_ptr<SamplingStrategy> strategy);

    RemoteSamplerOptions options_;
    const Clock& clock_;
    std::unique_ptr<StrategySource> source_;

    // Two places for the strategy: readers count themselves into the current one;
    // the thread that replaces it waits until the other is free of readers.
    // Readers never wait.
    struct Place {
        std::atomic<uint32_t> readers = 0;
        std::unique_ptr<SamplingStrategy> strategy;  // null: the initial sampler decides
    };
    Place places_[2];
    std::atomic<uint32_t> current_ = 0;

    // What the thread waits with. A forked child leaves its parent's behind and makes its own.
    struct Poller {
        std::mutex mutex;
        std::condition_variable stopping;
        bool is_stopping = false;
        std::thread thread;
    };
    static constexpr uint64_t kNoThread = UINT64_MAX;
    std::atomic<uint64_t> thread_fork_ = kNoThread;  // the fork number of the thread's process
    std::atomic_flag is_starting_ = ATOMIC_FLAG_INIT;
    std::unique_ptr<Poller> poller_;
};

}  // namespace spanloom::sdk
