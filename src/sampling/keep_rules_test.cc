#include "sampling/keep_rules.h"

#include <doctest/doctest.h>

namespace spanloom::sampling {
namespace {

std::string refused(std::string_view json) {
    const auto rules = parse_keep_rules(json);
    REQUIRE_FALSE(rules.has_value());
    CHECK(rules.error().code == ErrorCode::kInvalidArgument);
    return rules.error().message;
}

std::string refused_rule(std::string_view rule) {
    return refused("{\"keep\": [" + std::string(rule) + "]}");
}

bool says(const std::string& text, std::string_view part) {
    const bool does = text.find(part) != std::string::npos;
    if (!does) MESSAGE(text);
    return does;
}

}  // namespace

TEST_CASE("rules are read as they are documented, and printed so that they are the same again") {
    const auto rules = parse_keep_rules(R"({
        "recent": {"for": "24h", "disk": "50GiB"},
        "keep": [
          {"name": "errors", "match": "{ status = error }", "rate": 1, "for": "30d"},
          {"name": "slow", "match": "{ duration > 2s }", "rate": "0.5", "max_bytes": "1GiB"},
          {"name": "slowest", "slowest": 0.01, "by": ["resource.service.name", "name"]},
          {"name": "shops", "match": "{ .shop != nil }", "per_key": 0.5, "by": [".shop"]},
          {"name": "rest", "per_second": 50, "by": ["resource.service.name", "name"]}]})");
    REQUIRE_MESSAGE(rules.has_value(), (rules ? "" : rules.error().message));
    CHECK(rules->recent_for_ms == 86'400'000);
    CHECK(rules->recent_bytes_max == 50ULL << 30);
    REQUIRE(rules->keep.size() == 5);
    CHECK(rules->keep[0].for_ms == 30ULL * 86'400'000);
    CHECK(rules->keep[1].rate == 0.5);
    CHECK(rules->keep[1].bytes_max == 1ULL << 30);
    CHECK(rules->keep[2].slowest == 0.01);
    CHECK(rules->keep[2].fields[0] ==
          store::Field{store::Scope::kResource, store::Intrinsic::kNone, "service.name"});
    CHECK(rules->keep[2].fields[1] ==
          store::Field{store::Scope::kIntrinsic, store::Intrinsic::kName, ""});
    CHECK(rules->keep[3].rate_kind == KeepRule::Rate::kPerKey);
    CHECK(rules->keep[4].rate_kind == KeepRule::Rate::kPerSecond);
    CHECK(rules->keep[4].query == nullptr);
    const std::string printed = print_keep_rules(*rules);
    const auto again = parse_keep_rules(printed);
    REQUIRE(again.has_value());
    CHECK(print_keep_rules(*again) == printed);
    CHECK(print_keep_rules(*again).find("\"for\":\"30d\"") != std::string::npos);
}

TEST_CASE("without rules all errors stay, the slowest, and a sample of the rest; without limits") {
    const KeepRules& rules = default_keep_rules();
    CHECK(rules.recent_for_ms == 0);
    CHECK(rules.recent_bytes_max == 0);
    REQUIRE(rules.keep.size() == 3);
    CHECK(rules.keep[0].name == "errors");
    const auto given = parse_keep_rules(R"({"recent": {"for": "1h"}})");
    REQUIRE(given.has_value());
    CHECK(given->keep.size() == 3);
    CHECK(given->recent_for_ms == 3'600'000);
    CHECK(parse_keep_rules(R"({"keep": []})")->keep.empty());
}

TEST_CASE("what is wrong is said with its rule, its setting and, in a query, its place") {
    CHECK(says(refused("[1]"), "must be an object"));
    CHECK(says(refused("{"), "not JSON"));
    CHECK(says(refused(R"({"kep": []})"), "no setting 'kep'"));
    CHECK(says(refused(R"({"recent": {"for": "yesterday"}})"), "recent.for: must be a duration"));
    CHECK(says(refused(R"({"recent": {"bytes": 1}})"), "recent has for, disk"));
    CHECK(says(refused_rule(R"({"name": "slow", "match": "{ duration > }"})"),
               "keep[0] (slow): match: parse error at line 1, col 14"));
    CHECK(says(refused_rule(R"x({"name": "m", "match": "{ } | rate()"})x"), "draws series"));
    CHECK(says(refused_rule(R"({"match": "{ }"})"), "keep[0]: name: must be a text"));
    CHECK(says(refused_rule(R"({"name": "pinned"})"), "choose another"));
    CHECK(says(refused_rule(R"({"name": "a"}, {"name": "a"})"), "keep[1]: name: there are two"));
    CHECK(says(refused_rule(R"({"name": "a", "rate": 2})"), "rate: must be a share"));
    CHECK(says(refused_rule(R"({"name": "a", "rate": 1e-9})"), "rate: must be a share"));
    CHECK(says(refused_rule(R"({"name": "a", "rate": 1, "per_second": 3})"), "exclude each other"));
    CHECK(says(refused_rule(R"({"name": "a", "per_second": 0})"), "traces a second"));
    CHECK(says(refused_rule(R"({"name": "a", "per_key": 1})"), "per_key needs by"));
    CHECK(says(refused_rule(R"({"name": "a", "by": ["name"]})"), "by needs per_second"));
    CHECK(says(refused_rule(R"({"name": "a", "per_key": 1, "by": ["name != nil || .a"]})"),
               "is no attribute"));
    CHECK(says(refused_rule(R"({"name": "a", "per_key": 1, "by": ["trace:id"]})"),
               "cannot group traces"));
    CHECK(says(refused_rule(R"({"name": "a", "keep_for": "1d"})"), "a rule has name, match"));
    CHECK(says(refused(std::string(kKeepRulesBytesMax + 1, ' ')), "longer than"));
}

}  // namespace spanloom::sampling
