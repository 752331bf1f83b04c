#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <mutex>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace spanloom::sdk {

inline uint64_t system_ns(clockid_t clock) noexcept {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U +
           static_cast<uint64_t>(time.tv_nsec);
}

// The processor's counter where it runs evenly on all cores (TSC on x86-64, CNTVCT on arm64), read
// in a third of the time of clock_gettime, and what it says in wall time. Before it is calibrated
// (and where the kernel does not trust the counter) clock_gettime is used, so that no span ever has
// a guessed time. `now` is for any thread; `calibrate` for one at a time.
class TickClock {
  public:
    constexpr TickClock() noexcept = default;

    // A moment: `ticks` is 0 where the clock was not calibrated.
    struct Moment {
        uint64_t ticks = 0;
        uint64_t wall_ns = 0;
    };

    [[gnu::always_inline]] Moment now() const noexcept {
        const uint64_t ticks = read_counter();
        const uint64_t sequence = sequence_.load(std::memory_order_acquire);
        const uint64_t ns_per_tick = ns_per_tick_.load(std::memory_order_acquire);
        const uint64_t anchor_ticks = anchor_ticks_.load(std::memory_order_acquire);
        const uint64_t anchor_ns = anchor_ns_.load(std::memory_order_acquire);
        if (ns_per_tick == 0 || (sequence & 1) != 0 ||
            sequence_.load(std::memory_order_relaxed) != sequence) [[unlikely]]
            return {0, system_ns(CLOCK_REALTIME)};
        // An anchor of another core may be newer than a counter read before it.
        if (ticks < anchor_ticks) [[unlikely]]
            return {ticks, anchor_ns - to_ns(anchor_ticks - ticks, ns_per_tick)};
        return {ticks, anchor_ns + to_ns(ticks - anchor_ticks, ns_per_tick)};
    }
    // The wall time of now, as far after `start` as the counter says: a wall clock that jumps in
    // between does not change a span's length.
    [[gnu::always_inline]] uint64_t end_ns(const Moment& start) const noexcept {
        const uint64_t ns_per_tick = ns_per_tick_.load(std::memory_order_relaxed);
        if (start.ticks == 0 || ns_per_tick == 0) [[unlikely]] {
            const uint64_t ns = now().wall_ns;
            return ns > start.wall_ns ? ns : start.wall_ns;
        }
        const uint64_t ticks = read_counter();
        return start.wall_ns + (ticks > start.ticks ? to_ns(ticks - start.ticks, ns_per_tick) : 0);
    }

    // Marks the beginning of the measured interval; once, early.
    void start_interval() noexcept;
    // Measures the counter against the system's clocks: now and then, from a background thread.
    void calibrate() noexcept;
    bool is_calibrated() const noexcept { return ns_per_tick_.load() != 0; }
    // Around a fork: nobody calibrates meanwhile.
    void lock() noexcept { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }

  private:
    static uint64_t read_counter() noexcept {
#if defined(__x86_64__)
        return __rdtsc();
#elif defined(__aarch64__)
        uint64_t ticks;
        asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
#else
        return 0;
#endif
    }
    // `ns_per_tick` has 32 binary places.
    static uint64_t to_ns(uint64_t ticks, uint64_t ns_per_tick) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<uint64_t>(static_cast<Wide>(ticks) * ns_per_tick >> 32);
    }
    struct Sample {
        uint64_t ticks = 0;
        uint64_t steady_ns = 0;
        uint64_t wall_ns = 0;
    };
    static Sample sample() noexcept;

    std::atomic<uint64_t> sequence_ = 0;
    std::atomic<uint64_t> ns_per_tick_ = 0;  // 0: not calibrated
    std::atomic<uint64_t> anchor_ticks_ = 0;
    std::atomic<uint64_t> anchor_ns_ = 0;
    std::mutex mutex_;  // of calibrating
    Sample first_;      // where the measured interval begins
};

// The process's. Constant-initialised and never destroyed.
extern TickClock tick_clock;

}  // namespace spanloom::sdk
