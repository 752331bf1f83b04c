#include "store/values.h"

#include <doctest/doctest.h>

namespace spanloom::store {
namespace {

bool matches(const std::string& regex, std::string_view text) {
    const auto test = ValueTest::make(Comparison::kMatch, Value::of_string(regex));
    REQUIRE(test.has_value());
    const auto negative = ValueTest::make(Comparison::kNotMatch, Value::of_string(regex));
    REQUIRE(negative.has_value());
    CHECK(negative->on_string(text) != test->on_string(text));
    return test->on_string(text);
}

}  // namespace

TEST_CASE("regular expressions that are plain texts match as regular expressions do") {
    CHECK(matches("cart", "cart"));
    CHECK_FALSE(matches("cart", "carts"));
    CHECK(matches("GET|POST|PUT", "POST"));
    CHECK_FALSE(matches("GET|POST|PUT", "POS"));
    CHECK(matches("a|", ""));
    CHECK(matches("", ""));
    CHECK_FALSE(matches("", "a"));
    CHECK(matches("/cart/.*", "/cart/4815\nand more"));
    CHECK_FALSE(matches("/cart/.*", "x/cart/4815"));
    CHECK(matches(".*", "anything"));
    CHECK(matches(".*UPDATE.*", "SELECT x FOR UPDATE\n"));
    CHECK_FALSE(matches(".*UPDATE.*", "SELECT x FOR UPDAT"));
    CHECK(matches(".*.*", ""));
    // These are no plain texts.
    CHECK(matches("/c[a-z]+", "/cart"));
    CHECK(matches("(?i)get|post", "GET"));
    CHECK(matches("a.c", "abc"));
    CHECK_FALSE(matches("a\\.c", "abc"));
    CHECK(matches("a.*b.*", "axxbyy"));
    CHECK(matches(".*a?.*", "b"));
    CHECK(matches("ab*", "abbb"));
}

TEST_CASE("a comparison with an integer is one range, where it is") {
    const auto range = [](Comparison comparison, Value wanted) {
        return ValueTest::make(comparison, wanted)->integer_range(ValueKind::kInt);
    };
    const auto accepts = [](const IntegerRange& one, int64_t value) {
        return (value >= one.first && value <= one.last) != one.is_negated;
    };
    for (const Comparison comparison :
         {Comparison::kEqual, Comparison::kNotEqual, Comparison::kGreater,
          Comparison::kGreaterEqual, Comparison::kLess, Comparison::kLessEqual}) {
        for (const int64_t wanted : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{7}, INT64_MAX}) {
            const auto test = ValueTest::make(comparison, Value::of_int(wanted));
            const auto one = range(comparison, Value::of_int(wanted));
            REQUIRE(one.has_value());
            for (const int64_t value : {INT64_MIN, wanted, int64_t{0}, int64_t{8}, INT64_MAX})
                CHECK(accepts(*one, value) == test->on_integer(ValueKind::kInt, value));
        }
    }
    CHECK_FALSE(range(Comparison::kGreater, Value::of_double(1.5)).has_value());
    CHECK_FALSE(range(Comparison::kTextEqual, Value::of_int(1)).has_value());
    const auto none = range(Comparison::kEqual, Value::of_string("7"));
    REQUIRE(none.has_value());
    CHECK_FALSE(accepts(*none, 7));
}

}  // namespace spanloom::store
