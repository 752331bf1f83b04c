#include "sdk/diagnostics.h"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "spanloom/context.h"

namespace spanloom::sdk {
namespace {

constexpr uint64_t kMinuteNs = 60'000'000'000;

}  // namespace

void tell_owner(DiagnosticCallback callback, void* user, std::string_view message) noexcept {
    const Scope silent(Context::current().with_suppression());
    if (callback != nullptr) {
        callback(message, user);
        return;
    }
    try {
        const std::string line = "spanloom: " + std::string(message) + "\n";
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    } catch (...) {
        // No memory for a message: nothing to say it with.
    }
}

bool Diagnostics::wants(uint64_t subject, uint64_t now_ns) noexcept {
    const std::lock_guard lock(mutex_);
    if (now_ns >= minute_ends_ns_) {
        minute_ends_ns_ = now_ns + kMinuteNs;
        subject_count_ = 0;
    }
    const auto end = subjects_.begin() + static_cast<std::ptrdiff_t>(subject_count_);
    if (subject_count_ == kMessagesMax || std::find(subjects_.begin(), end, subject) != end) {
        ++held_back_;
        return false;
    }
    subjects_[subject_count_++] = subject;
    return true;
}

void Diagnostics::report(std::string_view message) noexcept {
    uint64_t held_back = 0;
    {
        const std::lock_guard lock(mutex_);
        held_back = std::exchange(held_back_, 0);
    }
    if (held_back == 0) return tell_owner(callback_, user_, message);
    try {
        tell_owner(callback_, user_,
                   std::string(message) + " (" + std::to_string(held_back) +
                       " more reports were held back)");
    } catch (...) {  // out of memory
        tell_owner(callback_, user_, message);
    }
}

}  // namespace spanloom::sdk
