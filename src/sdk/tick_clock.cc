#include "sdk/tick_clock.h"

#include <cstdio>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace spanloom::sdk {
namespace {

// Shorter intervals measure the reading of clocks more than the counter.
constexpr uint64_t kIntervalNsMin = 20'000'000;
// After this long the interval starts anew, to follow what NTP does to the system's clock.
constexpr uint64_t kIntervalNsMax = 120'000'000'000;
constexpr int kReadings = 5;

// The kernel watches the counter: where it keeps time by it, it is even.
bool kernel_trusts_counter() {
#if defined(__aarch64__)
    return true;  // the architecture's timer is invariant by its definition
#elif defined(__x86_64__)
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & (1U << 8)) == 0) return false;
    FILE* file =
        std::fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file == nullptr) return false;
    char name[64] = "";
    const bool is_read = std::fgets(name, sizeof name, file) != nullptr;
    std::fclose(file);
    return is_read && (std::strncmp(name, "tsc", 3) == 0 || std::strncmp(name, "kvm", 3) == 0 ||
                       std::strncmp(name, "hyperv", 6) == 0);
#else
    return false;
#endif
}

}  // namespace

TickClock tick_clock;

TickClock::Sample TickClock::sample() noexcept {
    Sample best;
    uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < kReadings; ++i) {
        const uint64_t before = read_counter();
        const uint64_t steady_ns = system_ns(CLOCK_MONOTONIC);
        const uint64_t wall_ns = system_ns(CLOCK_REALTIME);
        const uint64_t after = read_counter();
        if (after - before >= best_width) continue;
        best_width = after - before;
        best = {before + (after - before) / 2, steady_ns, wall_ns};
    }
    return best;
}

void TickClock::start_interval() noexcept {
    static std::atomic_flag is_started = ATOMIC_FLAG_INIT;
    if (!is_started.test_and_set()) calibrate();
}

void TickClock::calibrate() noexcept {
    static const bool is_trusted = kernel_trusts_counter();
    if (!is_trusted || !mutex_.try_lock()) return;
    const std::lock_guard lock(mutex_, std::adopt_lock);
    const Sample last = sample();
    if (first_.ticks == 0 || last.ticks < first_.ticks) first_ = last;
    const uint64_t steady_ns = last.steady_ns - first_.steady_ns;
    const uint64_t ticks = last.ticks - first_.ticks;
    uint64_t ns_per_tick = ns_per_tick_.load(std::memory_order_relaxed);
    if (steady_ns >= kIntervalNsMin && ticks != 0) {
        const auto measured = static_cast<uint64_t>(static_cast<double>(steady_ns) /
                                                    static_cast<double>(ticks) * 0x1.0p32);
        // A machine that was moved or suspended: measure again from here.
        const bool is_steady = ns_per_tick == 0 || (measured > ns_per_tick - ns_per_tick / 64 &&
                                                    measured < ns_per_tick + ns_per_tick / 64);
        if (!is_steady) first_ = last;
        ns_per_tick = is_steady ? measured : 0;
    }
    if (steady_ns >= kIntervalNsMax) first_ = last;
    sequence_.fetch_add(1, std::memory_order_acq_rel);
    ns_per_tick_.store(ns_per_tick, std::memory_order_release);
    anchor_ticks_.store(last.ticks, std::memory_order_release);
    anchor_ns_.store(last.wall_ns, std::memory_order_release);
    sequence_.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace spanloom::sdk
