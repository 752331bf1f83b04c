#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "spanloom/tracer_provider.h"

namespace spanloom::sdk {

// One message to the program's owner: to the callback, or else as a line on standard error. The
// context is suppressed meanwhile, so that a callback that traces does not call itself.
void tell_owner(DiagnosticCallback callback, void* user, std::string_view message) noexcept;

// What a provider notices about the program, told without flooding: of one subject (a place in the
// program, a span's name) once a minute, and no more than ten messages a minute in all. What is
// held back is counted and said with the next message. Any thread.
class Diagnostics {
  public:
    Diagnostics(DiagnosticCallback callback, void* user) noexcept
        : callback_(callback), user_(user) {}

    // True where a message about it may be made now; `report` then tells it.
    bool wants(uint64_t subject, uint64_t now_ns) noexcept;
    void report(std::string_view message) noexcept;

    // Around a fork.
    void lock() noexcept { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }

  private:
    static constexpr size_t kMessagesMax = 10;

    const DiagnosticCallback callback_;
    void* const user_;
    std::mutex mutex_;  // of what is below; not held while the callback runs
    uint64_t minute_ends_ns_ = 0;
    std::array<uint64_t, kMessagesMax> subjects_{};
    size_t subject_count_ = 0;
    uint64_t held_back_ = 0;
};

}  // namespace spanloom::sdk
