#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "sdk/diagnostics.h"
#include "sdk/live_spans.h"
#include "sdk/trace_guard.h"
#include "spanloom/tracer_provider.h"

namespace spanloom::detail {
struct TracerCore;
struct ThreadCounts;
}  // namespace spanloom::detail

namespace spanloom::sdk {

// A span that is about to be recorded.
struct NewSpan {
    detail::SpanRecord* record;  // its ids are there, all else is not
    const detail::TracerCore* tracer;
    const Context& parent;
    std::string_view name;
    SpanKind kind;
    detail::SourceLocation where;
    // Nobody said who the parent is, and the thread has no context.
    bool has_no_context;
};

// What a provider looks at beyond recording: debug mode, minimum durations, traces with too many
// spans. A span comes here only where `flags` or its thread's count of spans say so; all others pay
// one branch for it. Never destroyed, as providers are. Any thread.
class SpanWatch {
  public:
    enum Flag : uint32_t { kDebug = 1, kShort = 2, kNoisy = 4, kFirst = 8 };

    explicit SpanWatch(const ProviderOptions& options);

    std::atomic<uint32_t> flags = 0;

    // False where the span is one too many: it is not recorded, and counted.
    bool admit(const NewSpan& span, detail::ThreadCounts& counts) noexcept;
    // At the end; false where the span is too short to be kept. It is counted then.
    bool keeps(detail::SpanRecord* record, detail::ThreadCounts& counts) noexcept;
    // What is done at the next span that is recorded, once.
    void at_first_span(void (*call)(void*), void* argument) noexcept;

    // Debug mode: reports spans that have lived too long. By a thread of its own, or a test.
    void look(uint64_t now_ns) noexcept;
    // Ends that thread; reports what was never ended, and what was lost.
    void shut_down(Deadline deadline, const ProviderStats& stats) noexcept;

    // Around a fork.
    void lock() noexcept;
    void unlock() noexcept;
    void after_fork_in_child() noexcept;

  private:
    void begin(const NewSpan& span) noexcept;
    bool is_too_many(const NewSpan& span, detail::ThreadCounts& counts) noexcept;
    void report_noise(const NewSpan& span, const TraceGuard::Finding& finding) noexcept;
    void report_detached(const NewSpan& span) noexcept;
    void report_old(const LiveSpans::Found& found) noexcept;
    void start_thread() noexcept;

    const uint64_t span_alive_max_ns_;
    const uint32_t trace_spans_max_;
    Diagnostics diagnostics_;
    LiveSpans live_;
    TraceGuard guard_;
    std::atomic<uint64_t> next_forget_ns_ = 0;
    void (*first_call_)(void*) = nullptr;
    void* first_argument_ = nullptr;

    // The debug mode's thread. Shared with it; a fork makes a new one in the child.
    struct Patrol {
        std::mutex mutex;
        std::condition_variable changed;
        bool is_stopping = false;
        bool is_done = false;
        std::thread thread;
    };
    std::shared_ptr<Patrol> patrol_;  // with `patrol_mutex_`
    std::mutex patrol_mutex_;
};

}  // namespace spanloom::sdk
