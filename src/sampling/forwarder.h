#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "sampling/forward_options.h"
#include "sampling/forward_target.h"
#include "sampling/forwarding.h"
#include "store/store.h"

namespace spanloom::sampling {

// Sends traces on to other places, each those that its rules choose, when there was time for them
// to become whole. The store is the buffer: what was decided and sent is noted beside it. Watches
// what arrives at the store; one thread of its own, and one for each target to send. state() from
// any thread. Goes before the store.
class Forwarder {
  public:
    // kThreads: its own. kCaller: step() does everything. For tests.
    enum class Background : uint8_t { kThreads, kCaller };
    struct Parts {
        store::Store& store;
        Io& io;  // of the data directory
        const Clock& clock;
        Random& random;  // of the forwarder alone
        MetricsRegistry& metrics;
        Background background = Background::kThreads;
        // None: by OTLP.
        std::function<std::unique_ptr<ForwardSender>(const ForwardOptions&)> make_sender;
    };

    static Result<std::unique_ptr<Forwarder>> start(std::vector<ForwardOptions> targets,
                                                    Parts parts, ForwardTarget::Limits limits);
    ~Forwarder();
    Forwarder(const Forwarder&) = delete;
    Forwarder& operator=(const Forwarder&) = delete;

    // Takes in what arrived, decides and sends what can be. False: there was nothing to do.
    bool step();
    std::vector<ForwardState> states() const;
    // What each target was to get of a trace, and what became of it; also of targets that there
    // are no more, where it got something. Any thread.
    Result<std::vector<Forwarding>> explain(const TraceId& id) const;

  private:
    explicit Forwarder(Parts parts);
    void take(const std::string& tenant, const std::shared_ptr<const store::Segment>& segment);
    void run();
    void wake();

    Parts parts_;
    Counter& missed_segments_;
    Counter& failures_;
    std::vector<std::unique_ptr<ForwardTarget>> targets_;
    uint64_t step_ms_ = 0;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::shared_ptr<const store::Segment>> arrived_;
    size_t arrived_bytes_ = 0;
    bool has_missed_ = false;  // there were more than are held here
    bool is_woken_ = false;
    bool stops_ = false;
    uint64_t failed_ns_ = 0;  // monotonic, of the last failure that was told
    std::thread thread_;
};

// Sends by OTLP in a thread of its own; `done` is called there after each attempt, which takes no
// longer than the timeout.
Result<std::unique_ptr<ForwardSender>> make_otlp_sender(const ForwardOptions& options,
                                                        const Clock& clock,
                                                        std::function<void()> done,
                                                        uint32_t timeout_ms = 30'000);

}  // namespace spanloom::sampling
