#include "sampling/ago.h"

#include <utility>

#include <fmt/format.h>

namespace spanloom::sampling {

std::string format_ago(uint64_t at_ns, uint64_t now_ns) {
    constexpr std::pair<uint64_t, const char*> kUnits[] = {{86'400, "d"}, {3600, "h"}, {60, "min"}};
    const uint64_t seconds = now_ns > at_ns ? (now_ns - at_ns) / 1'000'000'000 : 0;
    for (const auto& [size, unit] : kUnits) {
        if (seconds >= size) return fmt::format("{} {} ago", seconds / size, unit);
    }
    return fmt::format("{} s ago", seconds);
}

}  // namespace spanloom::sampling
