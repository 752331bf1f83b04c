#include "main/new_traces.h"

#include <doctest/doctest.h>

namespace spanloom {

using Indexes = std::vector<size_t>;

TEST_CASE("tail shows each trace once, the oldest first") {
    NewTraces traces;
    CHECK(traces.take({"c", "b", "a"}, 10) == Indexes{2, 1, 0});
    CHECK(traces.take({"e", "c", "d", "b"}, 10) == Indexes{2, 0});
    CHECK(traces.take({}, 10).empty());
    CHECK(traces.take({"e", "d"}, 10).empty());
    CHECK_FALSE(traces.may_have_missed());
}

TEST_CASE("tail knows when more may have come than an answer holds") {
    NewTraces traces;
    // Of what was there before it shows what fits.
    (void)traces.take({"b", "a"}, 2);
    CHECK_FALSE(traces.may_have_missed());
    (void)traces.take({"c", "b"}, 2);
    CHECK_FALSE(traces.may_have_missed());
    (void)traces.take({"e", "d"}, 2);
    CHECK(traces.may_have_missed());
    (void)traces.take({"e", "d"}, 2);
    CHECK_FALSE(traces.may_have_missed());
}

TEST_CASE("tail forgets the oldest ids") {
    NewTraces traces;
    for (size_t i = 0; i <= NewTraces::kRemembered; ++i)
        (void)traces.take({std::to_string(i)}, 10);
    CHECK(traces.take({"0"}, 10) == Indexes{0});
    CHECK(traces.take({std::to_string(NewTraces::kRemembered)}, 10).empty());
}

}  // namespace spanloom
