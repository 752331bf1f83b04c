#include "otlp/tracestate.h"

#include <string>

#include <doctest/doctest.h>

namespace spanloom::otlp {

TEST_CASE("the adjusted count is one over the probability the threshold tells") {
    CHECK(adjusted_count("ot=th:0").value == 1);
    CHECK(adjusted_count("ot=th:0").is_known);
    CHECK(adjusted_count("ot=th:8").value == 2);
    CHECK(adjusted_count("ot=th:c").value == 4);
    CHECK(adjusted_count("vendor=x, ot=rv:0123456789abcd;th:e ,z=1").value == 8);
    CHECK(adjusted_count("ot=th:fd70a3d70a3d7").value == doctest::Approx(100));
}

TEST_CASE("a span without a valid threshold counts once") {
    const std::string long_member = "ot=th:8;x:" + std::string(300, 'a');
    for (const std::string& text :
         {std::string(), std::string("ot="), std::string("ot=th:"), std::string("ot=th:C"),
          std::string("ot=th:fffffffffffffff"), std::string("ot=th:8x"), std::string("vot=th:8"),
          std::string("ot=rv:1"), std::string("ot=th:8;th:c"), long_member}) {
        CHECK(adjusted_count(text).value == 1);
        CHECK_FALSE(adjusted_count(text).is_known);
    }
}

TEST_CASE("a forged threshold is capped and flagged") {
    const AdjustedCount forged = adjusted_count("ot=th:ffffffffffffff");
    CHECK(forged.value == kAdjustedCountMax);
    CHECK(forged.is_capped);
    CHECK_FALSE(adjusted_count("ot=th:8").is_capped);
}

TEST_CASE("randomness is 14 digits of rv, or the last seven bytes of the trace id") {
    CHECK(SamplingState::parse("ot=rv:00000000000001").randomness == 1);
    CHECK_FALSE(SamplingState::parse("ot=rv:1").randomness.has_value());
    CHECK(randomness_of(*TraceId::parse("ffffffffffffffffff00000000000102")) == 0x102);
}

TEST_CASE("a threshold is raised, never lowered, and everything else stays") {
    const uint64_t half = kThresholdEnd / 2;
    CHECK(raise_threshold("", half) == "ot=th:8");
    CHECK(raise_threshold("", 0) == "ot=th:0");
    CHECK(raise_threshold("", kThresholdEnd - 1) == "ot=th:ffffffffffffff");
    CHECK(raise_threshold("", kThresholdEnd) == "");
    CHECK(raise_threshold("ot=th:c", half) == "ot=th:c");
    CHECK(raise_threshold("a=1, ot=rv:0123456789abcd;th:4;x:y ,z=2", half) ==
          "ot=th:8;rv:0123456789abcd;x:y,a=1,z=2");
    CHECK(adjusted_count(raise_threshold("ot=th:4", half / 64)).value == doctest::Approx(4.0 / 3));
    const std::string full = "v=" + std::string(505, 'a');
    CHECK(raise_threshold(full, half) == full);
    const std::string long_member = "ot=x:" + std::string(250, 'a');
    CHECK(raise_threshold(long_member, half) == long_member);
    SamplingState state = SamplingState::parse(raise_threshold("x=1", 0x123456789a0000));
    CHECK(state.threshold == 0x123456789a0000);
}

}  // namespace spanloom::otlp
