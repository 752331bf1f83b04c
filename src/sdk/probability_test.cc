#include "sdk/probability.h"

#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace spanloom;
using namespace spanloom::sdk;

namespace {

std::string encoded(double probability) {
    const uint64_t threshold = threshold_of(probability);
    return threshold == kThresholdEnd ? "none" : encode_threshold(threshold);
}

TraceId trace_id_ending(const char* digits14) {
    return *TraceId::parse(std::string("4bf92f3577b34da6a3") + digits14);
}

std::string with(const char* state, std::optional<uint64_t> threshold) {
    return std::string(with_threshold(TraceState::parse(state), threshold).text());
}

}  // namespace

TEST_CASE("thresholds are the specification's") {
    // trace/tracestate-probability-sampling.md, the table of 1-in-N at
    // precision 4.
    const std::pair<double, const char*> table[] = {
        {1, "0"},
        {2, "8"},
        {3, "aaab"},
        {4, "c"},
        {5, "cccd"},
        {8, "e"},
        {10, "e666"},
        {16, "f"},
        {100, "fd70a"},
        {1000, "ffbe77"},
        {10'000, "fff9724"},
        {100'000, "ffff583a"},
        {1'000'000, "ffffef39"},
    };
    for (const auto& [n, expected] : table) {
        CAPTURE(n);
        CHECK(encoded(1.0 / n) == expected);
    }
}

TEST_CASE("where the specification's own function goes wrong") {
    // It gives "" for what rounds to everything, and one value for all below
    // 2^-48.
    CHECK(encoded(0.9999999) == "0");
    CHECK(encoded(std::ldexp(1, -49)) == "ffffffffffff8");
    CHECK(encoded(std::ldexp(1, -50)) == "ffffffffffffc");
    CHECK(encoded(std::ldexp(1, -56)) == "ffffffffffffff");
    CHECK(threshold_of(std::ldexp(1, -56)) == kThresholdEnd - 1);
    CHECK(encoded(std::ldexp(1, -57)) == "none");
    CHECK(encoded(0) == "none");
    CHECK(encoded(-1) == "none");
    CHECK(encoded(std::nan("")) == "none");
    CHECK(encoded(2) == "0");
}

TEST_CASE("what is encoded is what is decided") {
    SeededRandom random(1);
    for (int i = 0; i < 10'000; ++i) {
        const double probability = std::pow(2.0, -56 * random.unit());
        const uint64_t threshold = threshold_of(probability);
        REQUIRE(threshold < kThresholdEnd);
        const std::string state = "ot=th:" + encode_threshold(threshold);
        CHECK(otlp::SamplingState::parse(state).threshold == threshold);
        // Four digits after the leading f's: better than 1 in 4,000 (one step at
        // the very end).
        const double error = std::abs(probability_of(threshold) / probability - 1);
        if (probability > 0x1p-40) CHECK(error < 1.0 / 4000);
    }
}

TEST_CASE("a lower probability keeps a part of what a higher one keeps") {
    SeededRandom random(2);
    for (int i = 0; i < 1'000; ++i) {
        const double low = random.unit();
        const double high = low + (1 - low) * random.unit();
        CHECK(threshold_of(low) >= threshold_of(high));
    }
}

TEST_CASE("randomness is rv, else the end of the trace id") {
    const TraceId id = trace_id_ending("6e6d1a75832a2f");
    CHECK(randomness_of(id, {}) == 0x6e6d1a75832a2f);
    CHECK(randomness_of(id, TraceState::parse("ot=th:c;rv:00000000000001")) == 1);
    // 13 digits, or capital ones, are no rv.
    CHECK(randomness_of(id, TraceState::parse("ot=rv:0000000000001")) == 0x6e6d1a75832a2f);
    CHECK(randomness_of(id, TraceState::parse("ot=rv:0000000000000A")) == 0x6e6d1a75832a2f);
    CHECK(randomness_of(id, TraceState::parse("x=rv:00000000000001")) == 0x6e6d1a75832a2f);
}

TEST_CASE("th is set without touching what others keep") {
    CHECK(with("", 0xc0000000000000) == "ot=th:c");
    CHECK(with("a=1,b=2", 0xc0000000000000) == "ot=th:c,a=1,b=2");
    CHECK(with("a=1,ot=p:8;r:62", 0) == "ot=p:8;r:62;th:0,a=1");
    CHECK(with("ot=th:8;rv:6e6d1a75832a2f", 0xc0000000000000) == "ot=rv:6e6d1a75832a2f;th:c");
    CHECK(with("ot=rv:6e6d1a75832a2f;th:8,a=1", std::nullopt) == "ot=rv:6e6d1a75832a2f,a=1");
    CHECK(with("a=1,ot=th:8", std::nullopt) == "a=1");
    CHECK(with("a=1", std::nullopt) == "a=1");
    CHECK(with("a=1,ot=th:8", 0x80000000000000) == "a=1,ot=th:8");
    // Fifteen digits are no threshold; it goes when a right one comes.
    CHECK(with("ot=th:123456789012345", 0) == "ot=th:0");
}

TEST_CASE("an ot member never becomes longer than 256 bytes") {
    const std::string longest = "ot=a:" + std::string(248, 'x');  // 250 bytes of value
    CHECK(with(longest.c_str(), 0xc0000000000000).size() == longest.size() + 5);
    const std::string state = "ot=th:8;a:" + std::string(248, 'x');
    bool fits = true;
    const TraceState changed = with_threshold(TraceState::parse(state), 0x123456789abcde, &fits);
    CHECK_FALSE(fits);
    // An old threshold would be a lie: better none.
    CHECK(changed.text() == longest);
}

TEST_CASE("a parent's threshold that its sampled flag contradicts is dropped") {
    const TraceId kept = trace_id_ending("f0000000000000");
    const TraceId dropped = trace_id_ending("10000000000000");
    const auto state_of = [](const TraceId& id, bool is_sampled, const char* state) {
        const SpanContext parent(id, SpanId{{1}}, TraceFlags{static_cast<uint8_t>(is_sampled)},
                                 TraceState::parse(state), true);
        return std::string(consistent_state(parent).text());
    };
    CHECK(state_of(kept, true, "ot=th:8,a=1") == "ot=th:8,a=1");
    CHECK(state_of(dropped, true, "ot=th:8,a=1") == "a=1");
    CHECK(state_of(kept, false, "ot=th:8") == "");
    CHECK(state_of(dropped, false, "ot=th:8") == "ot=th:8");
    CHECK(state_of(dropped, true, "ot=th:8;rv:f0000000000000") == "ot=th:8;rv:f0000000000000");
    CHECK(state_of(dropped, true, "a=1") == "a=1");
}
