#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "sdk/watched_span.h"
#include "spanloom/function_ref.h"

namespace spanloom::sdk {

// Debug mode's list of the spans that are recording. Any thread.
class LiveSpans {
  public:
    void add(WatchedSpan* span, std::string_view name) noexcept;
    void remove(WatchedSpan* span) noexcept;
    // Of the kinds that begin the work of a request: server and consumer.
    uint64_t serving_count() const noexcept { return serving_.load(std::memory_order_relaxed); }

    struct Found {
        std::string name;
        SpanContext context;
        detail::SourceLocation where;
        uint64_t alive_ns = 0;
        uint64_t live_count = 0;
    };
    // Those that were started before and not found yet, oldest first: up to ten at a time. `visit`
    // is called without the lock.
    void find_older(uint64_t started_before_ns, uint64_t now_ns,
                    FunctionRef<void(const Found&)> visit);
    std::optional<Found> oldest(uint64_t now_ns);

    // Around a fork. In the child: those of the parent are not alive here.
    void lock() noexcept { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }
    void forget_all() noexcept;

  private:
    Found found(const WatchedSpan& span, uint64_t now_ns) const;

    std::mutex mutex_;
    WatchedSpan* first_ = nullptr;  // the oldest
    WatchedSpan* last_ = nullptr;
    uint64_t count_ = 0;
    std::atomic<uint64_t> serving_ = 0;
};

}  // namespace spanloom::sdk
