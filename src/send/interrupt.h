#pragma once

#include <atomic>
#include <cstdint>

#include <sys/types.h>

#include "base/clock.h"

namespace spanloom::send {

// Ends waits of another thread, for good. Thread-safe, but for `renew`.
class Interrupt {
  public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    void trigger();
    bool is_triggered() const { return triggered_; }
    int descriptor() const { return ends_[0]; }
    // Until the time, or the trigger.
    void wait_until(uint64_t deadline_ns, const Clock& clock) const;
    // In a forked child: a pipe of its own, for the one it has is its parent's.
    void renew();

  private:
    void open();
    void close();
    void wake();

    pid_t owner_ = -1;
    int ends_[2] = {-1, -1};
    std::atomic<bool> triggered_ = false;
};

// How long poll() may sleep for a deadline; never long, for the clock is injected.
int poll_ms(uint64_t now_ns, uint64_t deadline_ns);

}  // namespace spanloom::send
