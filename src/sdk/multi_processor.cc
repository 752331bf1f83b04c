#include <algorithm>
#include <cstdint>
#include <utility>

#include "sdk/background_thread.h"
#include "sdk/processor_calls.h"
#include "spanloom/processor.h"

namespace spanloom {
namespace sdk {
namespace {

using Processors = std::vector<std::shared_ptr<SpanProcessor>>;
constexpr uint64_t kLastWordNs = 20'000'000;

using Call = bool (SpanProcessor::*)(Deadline) noexcept;

bool call_all(const Processors& processors, Deadline deadline, Call call) noexcept {
    try {
        PunctualCalls calls;
        for (const auto& processor : processors)
            calls.start([processor, deadline, call] { return ((*processor).*call)(deadline); });
        // Each keeps the deadline by itself, and has a moment to put down what it did not do.
        const uint64_t until_ns = deadline.monotonic_ns();
        return calls.wait(
            Deadline::at_monotonic_ns(until_ns + std::min(kLastWordNs, UINT64_MAX - until_ns)));
    } catch (...) {  // out of memory
        return false;
    }
}

}  // namespace

bool flush_all(const Processors& processors, Deadline deadline) noexcept {
    return call_all(processors, deadline, &SpanProcessor::force_flush);
}

bool shut_down_all(const Processors& processors, Deadline deadline) noexcept {
    return call_all(processors, deadline, &SpanProcessor::shutdown);
}

}  // namespace sdk

namespace {

// Hands everything on, in order.
class MultiProcessor final : public SpanProcessor {
  public:
    explicit MultiProcessor(std::vector<std::shared_ptr<SpanProcessor>> processors)
        : processors_(std::move(processors)) {}

    unsigned interests() const noexcept override {
        unsigned all = 0;
        for (const auto& processor : processors_)
            all |= processor->interests();
        return all;
    }
    void on_start(Span& span, const Context& parent) noexcept override {
        for (const auto& processor : processors_)
            processor->on_start(span, parent);
    }
    void on_ending(Span& span) noexcept override {
        for (const auto& processor : processors_)
            processor->on_ending(span);
    }
    void on_end(const ReadableSpan& span) noexcept override {
        for (const auto& processor : processors_)
            processor->on_end(span);
    }
    bool force_flush(Deadline deadline) noexcept override {
        return sdk::flush_all(processors_, deadline);
    }
    bool shutdown(Deadline deadline) noexcept override {
        return sdk::shut_down_all(processors_, deadline);
    }
    ProcessorStats stats() const noexcept override {
        ProcessorStats sum;
        for (const auto& processor : processors_)
            sum += processor->stats();
        return sum;
    }
    void after_fork_in_child() noexcept override {
        for (const auto& processor : processors_)
            processor->after_fork_in_child();
    }

  private:
    std::vector<std::shared_ptr<SpanProcessor>> processors_;
};

}  // namespace

ProcessorStats& ProcessorStats::operator+=(const ProcessorStats& other) noexcept {
    received += other.received;
    exported += other.exported;
    rejected += other.rejected;
    failed += other.failed;
    dropped_queue_full += other.dropped_queue_full;
    dropped_after_shutdown += other.dropped_after_shutdown;
    dropped_at_shutdown += other.dropped_at_shutdown;
    dropped_too_big += other.dropped_too_big;
    queued += other.queued;
    queue_bytes += other.queue_bytes;
    queue_bytes_max += other.queue_bytes_max;
    return *this;
}

std::shared_ptr<SpanProcessor> make_multi_processor(
    std::vector<std::shared_ptr<SpanProcessor>> processors) {
    return std::make_shared<MultiProcessor>(std::move(processors));
}

}  // namespace spanloom
