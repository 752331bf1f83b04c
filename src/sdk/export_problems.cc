#include "sdk/export_problems.h"

#include "base/clock.h"
#include "sdk/diagnostics.h"

namespace spanloom {
namespace {

constexpr uint64_t kPauseNs = 10'000'000'000;

}  // namespace

void ExportProblems::report(std::string_view message) noexcept {
    const uint64_t now_ns = SystemClock().monotonic_ns();
    uint64_t next_ns = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next_ns || !next_ns_.compare_exchange_strong(next_ns, now_ns + kPauseNs)) return;
    sdk::tell_owner(callback_, user_, message);
}

}  // namespace spanloom
