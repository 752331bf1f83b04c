#include "sdk/wake_event.h"

#include <ctime>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "sdk/tick_clock.h"

namespace spanloom::sdk {
namespace {

constexpr uint32_t kIdle = 0;
constexpr uint32_t kAsleep = 1;
constexpr uint32_t kWoken = 2;

#if defined(__linux__)
void sleep_while_asleep(std::atomic<uint32_t>& state, uint64_t ns) noexcept {
    const timespec time{static_cast<time_t>(ns / 1'000'000'000U),
                        static_cast<long>(ns % 1'000'000'000U)};
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&state), FUTEX_WAIT_PRIVATE, kAsleep, &time,
            nullptr, 0);
}
void rouse(std::atomic<uint32_t>& state) noexcept {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&state), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr,
            0);
}
#else
// Where there is no futex: look again every two milliseconds.
void sleep_while_asleep(std::atomic<uint32_t>&, uint64_t ns) noexcept {
    const uint64_t nap_ns = ns < 2'000'000 ? ns : 2'000'000;
    const timespec time{0, static_cast<long>(nap_ns)};
    nanosleep(&time, nullptr);
}
void rouse(std::atomic<uint32_t>&) noexcept {}
#endif

}  // namespace

void WakeEvent::wait_until(uint64_t monotonic_ns) noexcept {
    uint32_t expected = kIdle;
    if (state_.compare_exchange_strong(expected, kAsleep, std::memory_order_acq_rel)) {
        while (state_.load(std::memory_order_acquire) == kAsleep) {
            const uint64_t now_ns = system_ns(CLOCK_MONOTONIC);
            if (now_ns >= monotonic_ns) break;
            sleep_while_asleep(state_, monotonic_ns - now_ns);
        }
    }
    state_.store(kIdle, std::memory_order_release);
}

bool WakeEvent::is_woken() const noexcept {
    return state_.load(std::memory_order_acquire) == kWoken;
}

void WakeEvent::wake() noexcept {
    if (state_.exchange(kWoken, std::memory_order_acq_rel) == kAsleep) rouse(state_);
}

}  // namespace spanloom::sdk
