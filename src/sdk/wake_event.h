#pragma once

#include <atomic>
#include <cstdint>

namespace spanloom::sdk {

// Wakes one sleeping thread. `wake` costs a system call only where it sleeps; it never blocks, so
// that a thread that ends a span may call it. Thread-safe; one waiter.
class WakeEvent {
  public:
    // Until `wake` (also one that came before), or the moment in monotonic time.
    void wait_until(uint64_t monotonic_ns) noexcept;
    void wake() noexcept;
    // A wake that nobody has seen yet.
    bool is_woken() const noexcept;

  private:
    // kIdle: nobody sleeps; kAsleep: the waiter does; kWoken: a wake that nobody has seen yet.
    std::atomic<uint32_t> state_ = 0;
};

}  // namespace spanloom::sdk
