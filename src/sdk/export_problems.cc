#include "sdk/export_problems.h"

#include <string>

#include <unistd.h>

#include "base/clock.h"

namespace spanloom {
namespace {

constexpr uint64_t kPauseNs = 10'000'000'000;

}  // namespace

void ExportProblems::report(std::string_view message) noexcept {
    const uint64_t now_ns = SystemClock().monotonic_ns();
    uint64_t next_ns = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next_ns || !next_ns_.compare_exchange_strong(next_ns, now_ns + kPauseNs)) return;
    if (callback_ != nullptr) {
        callback_(message, user_);
        return;
    }
    try {
        const std::string line = "spanloom: " + std::string(message) + "\n";
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    } catch (...) {
        // No memory for a message: nothing to say it with.
    }
}

}  // namespace spanloom
