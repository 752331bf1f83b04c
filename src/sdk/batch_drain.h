#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "sdk/span_queue.h"
#include "sdk/wake_event.h"
#include "spanloom/processor.h"

namespace spanloom::sdk {

// Spans that go out together, grouped by their tracers. Views into queues. One thread.
class OutgoingBatch {
  public:
    void add(const void* tracer, std::string_view message);
    size_t span_count() const noexcept { return span_count_; }
    size_t span_bytes() const noexcept { return span_bytes_; }
    // One SpanBatch for each resource, in turn.
    void for_each_resource(FunctionRef<void(const SpanBatch&)> visit);
    void clear() noexcept;

  private:
    struct Group {
        const void* tracer = nullptr;
        std::vector<std::string_view> spans;
        size_t bytes = 0;
    };
    std::vector<Group> groups_;  // the first `used_` are in use; others keep their memory
    size_t used_ = 0;
    size_t last_ = 0;
    size_t span_count_ = 0;
    size_t span_bytes_ = 0;
    std::vector<SpanGroup> views_;
    const Resource* resource_ = nullptr;
    std::string encoded_resource_;
};

// The queues of a batch processor and the thread that empties them. Shared by the processor and
// that thread, so that a thread stuck in an exporter outlives everything it touches. A fork makes a
// new one in the child.
class BatchDrain : public std::enable_shared_from_this<BatchDrain> {
  public:
    // Without a thread of its own, a test takes its turns.
    BatchDrain(std::shared_ptr<SpanExporter> exporter, const BatchOptions& options,
               bool has_thread = true);

    // From any thread that ends a span.
    void add(const void* tracer, std::string_view message) noexcept;
    bool force_flush(Deadline deadline) noexcept;
    bool shutdown(Deadline deadline) noexcept;
    ProcessorStats stats() const noexcept;

    const std::shared_ptr<SpanExporter>& exporter() const noexcept { return exporter_; }
    const BatchOptions& options() const noexcept { return options_; }

    // ---- the drain thread, or a test in its place
    // What it does between two sleeps.
    struct Nap {
        uint64_t until_ns = 0;  // it sleeps until then, or until it is woken
        // It is to be woken as soon as a batch is full. Otherwise spans come in masses, and it
        // looks again soon.
        bool is_listening = false;
        bool is_last = false;
    };
    Nap turn(uint64_t now_ns) noexcept;
    bool is_woken() const noexcept { return event_.is_woken(); }

  private:
    SpanQueue* queue() noexcept {
        detail::ThreadState& thread = detail::thread_state();
        detail::ThreadState::Local& local = thread.locals[owner_ % detail::ThreadState::kLocals];
        if (local.owner == owner_) [[likely]]
            return static_cast<SpanQueue*>(local.object);
        return find_queue(thread, local);
    }
    SpanQueue* find_queue(detail::ThreadState& thread, detail::ThreadState::Local& local) noexcept;
    void tell(SpanQueue& queue) noexcept;
    void start_thread() noexcept;

    // ---- the drain thread
    void run() noexcept;
    // True where something was exported.
    bool drain(bool takes_partial) noexcept;
    bool gather() noexcept;
    void export_batch() noexcept;
    // What one look at the queues is for.
    struct Round {
        bool takes_partial = false;  // batches that are not full go out, too
        bool is_last = false;
        uint64_t flushes = 0;  // asked for before it began
    };
    Round begin_round(uint64_t now_ns) noexcept;
    void answer_flushes(const Round& round) noexcept;
    Nap nap_after(uint64_t now_ns, bool was_busy) noexcept;
    void sleep(const Nap& nap) noexcept;

    const std::shared_ptr<SpanExporter> exporter_;
    const BatchOptions options_;
    const uint64_t owner_;
    const uint32_t tell_every_;
    ChunkPool pool_;
    WakeEvent event_;
    std::atomic<bool> is_stopping_ = false;
    // The drain thread sleeps for long and wants to hear of a full batch.
    std::atomic<bool> is_listening_ = false;
    std::atomic<bool> is_rushed_ = false;
    std::atomic<uint64_t> told_ = 0;
    std::atomic<uint64_t> waiting_ = 0;  // spans in queues; kept where they are limited

    mutable std::mutex mutex_;  // of what is below, but for the drain thread's own
    std::condition_variable done_;
    std::deque<SpanQueue> queues_;
    std::thread thread_;
    bool is_thread_started_ = false;
    uint64_t flushes_wanted_ = 0;
    uint64_t flushes_done_ = 0;
    bool is_flush_clean_ = true;
    bool is_stop_wanted_ = false;
    bool is_stopped_ = false;
    bool is_stop_clean_ = true;
    bool is_abandoned_ = false;
    uint64_t deadline_ns_ = UINT64_MAX;  // of flushes and of the stop
    uint64_t exported_ = 0;
    uint64_t rejected_ = 0;
    uint64_t failed_ = 0;

    // ---- the drain thread's own
    OutgoingBatch batch_;
    std::vector<SpanQueue*> known_queues_;
    size_t next_queue_ = 0;
    uint64_t next_full_ns_ = 0;
    uint64_t next_calibration_ns_ = 0;
    bool was_failure_ = false;
};

}  // namespace spanloom::sdk
