#include "main/freed_memory.h"

#include <doctest/doctest.h>

using namespace spanloom;

TEST_CASE("what was freed is kept for long, but where much comes in and the process is large") {
    const auto kept_ms = [](uint64_t held_mb, uint64_t unwritten_mb) {
        return FreedMemory::kept_ms(held_mb << 20, [&] { return unwritten_mb << 20; });
    };
    CHECK(kept_ms(0, 0) == 10'000);
    CHECK(kept_ms(100, 50) == 10'000);
    CHECK(kept_ms(180, 50) == 200);
    CHECK(kept_ms(180, 5) == 10'000);  // as where queries fill their cache
    FreedMemory freed([] { return uint64_t{0}; });
    CHECK(freed.look() > 0);  // whatever the allocator is
    CHECK(freed.look() > 0);
}
