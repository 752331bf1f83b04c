#include "rollup/number_coder.h"

#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace spanloom;

TEST_CASE("numbers of any size come back, each in its context") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SeededRandom random(seed);
        std::vector<uint64_t> values;
        for (uint64_t i = 0; i < seed * 300; ++i)
            values.push_back(random.next() >> (1 + random.below(63)));
        values.push_back(0);
        values.push_back((uint64_t{1} << 63) - 2);
        NumberEncoder out;
        std::vector<NumberContext> contexts(3);
        for (size_t i = 0; i < values.size(); ++i)
            out.number(contexts[i % 3], values[i]);
        const std::string bytes = out.finish();
        NumberDecoder in(bytes);
        std::vector<NumberContext> again(3);
        for (size_t i = 0; i < values.size(); ++i)
            REQUIRE(in.number(again[i % 3]) == values[i]);
        CHECK(in.is_at_end());
    }
}

TEST_CASE("a carry goes through as many bytes as there are") {
    // What is never expected costs many bits of one, and so makes long runs of them.
    NumberEncoder out;
    NumberContext context;
    for (int i = 0; i < 20'000; ++i)
        out.number(context, i % 1000 == 999 ? 1U << 20 : 0);
    const std::string bytes = out.finish();
    NumberDecoder in(bytes);
    NumberContext again;
    for (int i = 0; i < 20'000; ++i)
        REQUIRE(in.number(again) == (i % 1000 == 999 ? 1U << 20 : 0));
    CHECK(in.is_at_end());
    // A number that is always the same costs little, but never nothing: readers count on it.
    CHECK(bytes.size() < 20'000 / 100);
    CHECK(bytes.size() > 20'000 / 1000);
}

TEST_CASE("bytes that end early, or are anything at all, are numbers, and it is known") {
    NumberEncoder out;
    NumberContext context;
    for (uint64_t i = 0; i < 100; ++i)
        out.number(context, i * i);
    const std::string bytes = out.finish();
    for (size_t size = 0; size < bytes.size(); ++size) {
        NumberDecoder in(std::string_view(bytes).substr(0, size));
        NumberContext again;
        for (int i = 0; i < 100; ++i)
            in.number(again);
        CHECK_FALSE(in.is_at_end());
    }
    const std::string more = bytes + "x";
    NumberDecoder in(more);
    NumberContext again;
    for (int i = 0; i < 100; ++i)
        in.number(again);
    CHECK(in.ok());
    CHECK_FALSE(in.is_at_end());
}
