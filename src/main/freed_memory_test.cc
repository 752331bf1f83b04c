#include "main/freed_memory.h"

#include <doctest/doctest.h>

using namespace spanloom;

TEST_CASE("a small process keeps what was freed for long, a large one does not") {
    CHECK(FreedMemory::kept_ms(0) == 10'000);
    CHECK(FreedMemory::kept_ms(100U << 20) == 10'000);
    CHECK(FreedMemory::kept_ms(180U << 20) == 200);
    CHECK(FreedMemory::kept_ms(UINT64_MAX) == 200);
    FreedMemory freed;
    freed.look();  // whatever the allocator is
    freed.look();
}
