#include "sampling/verdicts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <doctest/doctest.h>

#include "base/random.h"
#include "otlp/tracestate.h"

namespace spanloom::sampling {
namespace {

KeepRules rules_of(const std::string& list) {
    auto rules = parse_keep_rules("{\"keep\": " + list + "}");
    REQUIRE_MESSAGE(rules.has_value(), (rules ? "" : rules.error().message));
    return std::move(*rules);
}

// Traces with a route, a duration and perhaps an error; rules find errors by their first query.
struct Traces : SurveyedTraces {
    explicit Traces(const KeepRules& rules) {
        keys.push_back({{"resource.service.name"}, {}, {"shop"}});
        keys.push_back({{"name"}, {}, {}});
        for (const KeepRule& rule : rules.keep) {
            keys_of_rule.push_back(rule.by.empty() ? kNoKeys : 1);
            matches.emplace_back();
        }
    }
    void add(Random& random, uint32_t route, uint64_t duration, bool is_error) {
        TraceId id;
        const uint64_t low = random.next();
        for (size_t i = 0; i < 8; ++i)
            id.bytes[8 + i] = static_cast<uint8_t>(low >> (8 * i));
        ids.push_back(id);
        randomness.push_back(otlp::randomness_of(id));
        start_ns.push_back(ids.size());
        duration_ns.push_back(duration);
        spans.push_back(1);
        has_error.push_back(is_error);
        bytes.push_back(100);
        keys[0].number_of.push_back(0);
        keys[1].number_of.push_back(route);
    }
    // Where the rule's query is { status = error }.
    void match_errors(size_t rule) { matches[rule] = has_error; }
    std::vector<uint32_t> all() const {
        std::vector<uint32_t> numbers(size());
        std::iota(numbers.begin(), numbers.end(), 0U);
        return numbers;
    }
};

double weight_of(const Verdict& verdict) {
    return otlp::adjusted_count(verdict.threshold).value;
}

}  // namespace

TEST_CASE("the first rule that matches decides, and what none matches goes") {
    const KeepRules rules = rules_of(R"([
        {"name": "errors", "match": "{ status = error }", "rate": 1},
        {"name": "none", "match": "{ name = \"x\" }", "rate": 0}])");
    Traces traces(rules);
    SeededRandom random(1);
    for (uint32_t i = 0; i < 6; ++i)
        traces.add(random, 0, 1, i % 2 == 0);
    traces.match_errors(0);
    traces.matches[1] = {1, 1, 1, 1, 0, 0};
    const auto verdicts = judge(rules, traces, traces.all(), 3600);
    for (uint32_t i = 0; i < 6; ++i) {
        CHECK(verdicts[i].is_kept == (i % 2 == 0));
        CHECK(verdicts[i].rule == (i % 2 == 0 ? 0 : i < 4 ? 1 : Verdict::kNoRule));
    }
}

TEST_CASE("one randomness for all rules: what a stricter rate keeps, a milder one keeps as well") {
    const KeepRules strict = rules_of(R"([{"name": "a", "rate": 0.1}])");
    const KeepRules mild = rules_of(R"([{"name": "a", "rate": 0.3}])");
    Traces traces(strict);
    SeededRandom random(2);
    for (uint32_t i = 0; i < 10'000; ++i)
        traces.add(random, 0, 1, false);
    const auto few = judge(strict, traces, traces.all(), 1);
    const auto many = judge(mild, traces, traces.all(), 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < traces.size(); ++i) {
        CHECK((!few[i].is_kept || many[i].is_kept));
        CHECK(few[i].is_kept == (traces.randomness[i] >= few[i].threshold));
        kept += few[i].is_kept;
    }
    CHECK(weight_of(few[0]) == doctest::Approx(10));
    CHECK(kept > 900);
    CHECK(kept < 1100);
}

TEST_CASE("so many a second are shared out fairly: rare keys are whole, the others alike") {
    const KeepRules rules = rules_of(R"([{"name": "a", "per_second": 1, "by": ["name"]}])");
    Traces traces(rules);
    SeededRandom random(3);
    const std::map<uint32_t, uint32_t> counts = {{0, 5}, {1, 40}, {2, 400}, {3, 4000}};
    for (const auto& [route, count] : counts) {
        for (uint32_t i = 0; i < count; ++i)
            traces.add(random, route, 1, false);
    }
    const auto verdicts = judge(rules, traces, traces.all(), 200);
    std::map<uint32_t, uint32_t> kept;
    std::map<uint32_t, double> weighed;
    for (uint32_t i = 0; i < traces.size(); ++i) {
        if (!verdicts[i].is_kept) continue;
        kept[traces.keys[1].number_of[i]] += 1;
        weighed[traces.keys[1].number_of[i]] += weight_of(verdicts[i]);
    }
    CHECK(kept == std::map<uint32_t, uint32_t>{{0, 5}, {1, 40}, {2, 77}, {3, 77}});
    CHECK(weighed[1] == 40);
    CHECK(weighed[3] == doctest::Approx(4000).epsilon(0.4));
}

TEST_CASE("so many a second of each key, and at least one") {
    const KeepRules rules = rules_of(R"([{"name": "a", "per_key": 0.001, "by": ["name"]}])");
    Traces traces(rules);
    SeededRandom random(4);
    for (uint32_t i = 0; i < 300; ++i)
        traces.add(random, i % 3, 1, false);
    for (const auto& [seconds, expected] : std::map<double, int>{{1, 3}, {20'000, 60}}) {
        const auto verdicts = judge(rules, traces, traces.all(), seconds);
        CHECK(std::count_if(verdicts.begin(), verdicts.end(),
                            [](const Verdict& v) { return v.is_kept; }) == expected);
    }
}

TEST_CASE("the slowest of each key, at least one, whatever their randomness") {
    const KeepRules rules = rules_of(R"([{"name": "slow", "slowest": 0.01, "by": ["name"]}])");
    Traces traces(rules);
    SeededRandom random(5);
    for (uint32_t i = 0; i < 1000; ++i)
        traces.add(random, 0, (i * 7919) % 1000, false);
    traces.add(random, 1, 3, false);
    traces.add(random, 1, 2, false);
    const auto verdicts = judge(rules, traces, traces.all(), 3600);
    for (uint32_t i = 0; i < traces.size(); ++i) {
        const bool is_slow = i < 1000 ? traces.duration_ns[i] >= 990 : i == 1000;
        CHECK(verdicts[i].is_kept == is_slow);
        CHECK(verdicts[i].rule == (is_slow ? 0 : Verdict::kNoRule));
    }
}

// Counts, errors and quantiles of each route, from what stays, against what was there: the errors
// of the estimates lie within three standard deviations of what sampling by chance gives.
TEST_CASE("what is counted from kept traces is unbiased") {
    const KeepRules rules = rules_of(R"([
        {"name": "errors", "match": "{ status = error }", "rate": 0.5},
        {"name": "slow", "slowest": 0.02, "by": ["name"]},
        {"name": "rest", "per_second": 2, "by": ["name"]}])");
    constexpr uint32_t kRoutes = 5;
    constexpr uint32_t kTraces = 50'000;
    double deviations = 0;
    int estimates = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SeededRandom random(seed);
        Traces traces(rules);
        for (uint32_t i = 0; i < kTraces; ++i) {
            const auto route = static_cast<uint32_t>(std::min(random.below(8), random.below(5)));
            const auto duration = static_cast<uint64_t>(1e6 * -std::log(random.unit() + 1e-12));
            traces.add(random, route, duration, random.below(20) == 0);
        }
        traces.match_errors(0);
        const auto verdicts = judge(rules, traces, traces.all(), 1000);
        for (uint32_t route = 0; route < kRoutes; ++route) {
            // By what is asked: all, errors, those slower than a limit.
            for (const int question : {0, 1, 2}) {
                double truth = 0;
                double estimate = 0;
                double variance = 0;
                for (uint32_t i = 0; i < kTraces; ++i) {
                    const bool is_asked =
                        traces.keys[1].number_of[i] == route &&
                        (question == 0 || (question == 1 && traces.has_error[i] != 0) ||
                         (question == 2 && traces.duration_ns[i] > 2'000'000));
                    if (!is_asked) continue;
                    const double weight = weight_of(verdicts[i]);
                    truth += 1;
                    if (verdicts[i].is_kept) estimate += weight;
                    variance += weight - 1;  // of weight * (chance 1 / weight)
                }
                CAPTURE(seed);
                CAPTURE(route);
                CAPTURE(question);
                if (variance == 0) {
                    CHECK(estimate == truth);
                    continue;
                }
                const double z = (estimate - truth) / std::sqrt(variance);
                // All of them: 300 estimates, of which 0.3 % may lie beyond three deviations.
                CHECK(std::abs(z) < 4.5);
                deviations += z;
                ++estimates;
            }
        }
    }
    REQUIRE(estimates > 200);
    CHECK(std::abs(deviations / std::sqrt(static_cast<double>(estimates))) < 3);
}

}  // namespace spanloom::sampling
