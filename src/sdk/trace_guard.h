#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "spanloom/ids.h"

namespace spanloom::sdk {

// Finds traces with too many spans in this process, and the name that most of them have: the loop
// that somebody instrumented. Not every span is looked at, so that those that are not cost a
// comparison: each thread looks at one of about `interval`, and counts it for all since the last.
// With small limits every span is. What it remembers is bounded: the latest traces, and for each
// its busiest names (Misra and Gries: what has a ninth of all is surely among them). Any thread.
class TraceGuard {
  public:
    // 0: nothing is ever too much.
    explicit TraceGuard(uint32_t spans_max) noexcept;

    // Spans a thread may start until it looks again; random around the interval.
    uint64_t next_gap(uint64_t random_bits) const noexcept;

    struct Finding {
        enum class Kind : uint8_t {
            kFine,
            kTooManyOfName,  // from now on `is_blocked`
            kTooManyOfMany,  // no name stands out
        };
        Kind kind = Kind::kFine;
        uint32_t percent = 0;  // the name's share
    };
    // Counts a span, and for it `weight` of them.
    Finding count(const TraceId& trace, std::string_view name, uint64_t weight) noexcept;
    // True where spans of this name are not wanted any more in this trace. No lock.
    bool is_blocked(const TraceId& trace, std::string_view name) noexcept;
    // Forgets what nobody has asked for since the last time; true where anything is still blocked.
    bool forget_idle() noexcept;

    // Around a fork.
    void lock() noexcept { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }

  private:
    static constexpr size_t kSets = 64;
    static constexpr size_t kWays = 4;
    static constexpr size_t kNames = 8;
    struct Name {
        uint64_t hash = 0;
        uint64_t spans = 0;  // 0: not in use
    };
    struct Entry {
        TraceId trace;
        uint64_t spans = 0;  // 0: not in use
        uint64_t seen = 0;
        std::array<Name, kNames> names{};
    };
    struct Blocked {
        std::atomic<uint64_t> key = 0;  // 0: not in use
        std::atomic<bool> is_asked_for = false;
    };

    Entry& entry_of(const TraceId& trace) noexcept;
    static Name* add_name(Entry& entry, uint64_t hash, uint64_t weight) noexcept;
    void block(uint64_t key) noexcept;

    const uint32_t spans_max_;
    const uint64_t interval_;
    std::mutex mutex_;  // of what is below, but for reading `blocked_`
    std::unique_ptr<std::array<Entry, kSets * kWays>> entries_;  // made when first needed
    uint64_t looks_ = 0;
    std::array<Blocked, 64> blocked_;
    size_t next_blocked_ = 0;
};

}  // namespace spanloom::sdk
