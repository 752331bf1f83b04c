#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "send/endpoint.h"

namespace spanloom::send {

// Ends waits of another thread, for good. Thread-safe.
class Interrupt {
  public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    void trigger();
    bool is_triggered() const { return triggered_; }
    int descriptor() const { return descriptor_; }
    // Until the time, or the trigger.
    void wait_until(uint64_t deadline_ns, const Clock& clock) const;

  private:
    int descriptor_;
    std::atomic<bool> triggered_ = false;
};

// A connected TCP socket, driven by poll() on the caller's thread. Deadlines are in the clock's
// monotonic time. One thread.
class Socket {
  public:
    static Result<std::unique_ptr<Socket>> connect(const Endpoint& endpoint, uint64_t deadline_ns,
                                                   const Clock& clock, const Interrupt& interrupt);
    ~Socket();
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    // At least one byte, at most `size`; 0: the server has closed.
    Result<size_t> read(char* to, size_t size, uint64_t deadline_ns);
    // As many as the kernel takes now; 0: none.
    Result<size_t> write_some(std::string_view bytes);
    Result<void> write_all(std::string_view bytes, uint64_t deadline_ns);
    // 0 where nothing is there yet, as opposed to `read`; kUnavailable where the server has closed.
    Result<size_t> read_some(char* to, size_t size);
    enum class Wait : uint8_t { kRead, kWrite, kReadOrWrite };
    Result<void> wait(Wait wait, uint64_t deadline_ns);

  private:
    Socket(int descriptor, std::string name, const Clock& clock, const Interrupt& interrupt)
        : descriptor_(descriptor), name_(std::move(name)), clock_(clock), interrupt_(interrupt) {}

    Result<void> finish_connect(uint64_t deadline_ns);

    int descriptor_;
    std::string name_;
    const Clock& clock_;
    const Interrupt& interrupt_;
};

}  // namespace spanloom::send
