#include "spanloom/samplers.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"
#include "sdk/adaptive_threshold.h"
#include "sdk/probability.h"

using namespace spanloom;

namespace {

TraceId random_trace(SeededRandom& random) {
    TraceId id;
    for (size_t i = 0; i < 16; i += 8) {
        const uint64_t bits = random.next();
        std::memcpy(id.bytes.data() + i, &bits, 8);
    }
    return id;
}

// What is asked of a sampler, with defaults for what a test does not care
// about.
struct Question {
    Context parent;
    TraceId trace_id = *TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736");
    std::string name = "GET /";
    SpanKind kind = SpanKind::kServer;
    std::vector<Attribute> attributes;

    SamplingParameters parameters() const {
        return {parent, trace_id, name, kind, attributes, LinkList(), "test"};
    }
    SamplingResult ask(Sampler& sampler) const { return sampler.should_sample(parameters()); }
};

Question child_of(bool is_sampled, bool is_remote, const char* state = "") {
    Question question;
    question.parent = Context(SpanContext(question.trace_id, SpanId{{1}},
                                          TraceFlags{static_cast<uint8_t>(is_sampled ? 1 : 0)},
                                          TraceState::parse(state), is_remote));
    return question;
}

std::string decision(const SamplingResult& result) {
    switch (result.decision) {
        case SamplingDecision::kDrop:
            return "drop";
        case SamplingDecision::kRecordOnly:
            return "record";
        default:
            return "sample";
    }
}
std::string shown(const SamplingResult& result) {
    std::string text = decision(result);
    if (!result.trace_state.empty()) text += " " + std::string(result.trace_state.text());
    return text;
}

// What a backend that knows only what was kept believes there was.
double adjusted_count(const SamplingResult& result) {
    const auto state = otlp::SamplingState::parse(result.trace_state.text());
    REQUIRE(state.threshold.has_value());
    return 1 / sdk::probability_of(*state.threshold);
}

}  // namespace

TEST_CASE("the parent decides, and a root is asked") {
    const auto sampler = make_parent_based_sampler({make_always_off_sampler()});
    CHECK(shown(Question().ask(*sampler)) == "drop");
    CHECK(shown(child_of(true, true).ask(*sampler)) == "sample");
    CHECK(shown(child_of(false, true).ask(*sampler)) == "drop");
    CHECK(shown(child_of(true, false).ask(*sampler)) == "sample");
    CHECK(shown(child_of(false, false).ask(*sampler)) == "drop");
    CHECK(shown(child_of(true, true, "a=1").ask(*sampler)) == "sample a=1");
}

TEST_CASE("the parent's threshold goes on, unless its flag says that it is wrong") {
    const auto sampler = make_parent_based_sampler({make_always_on_sampler()});
    // R of the trace is ce929d0e0e4736.
    CHECK(shown(child_of(true, true, "ot=th:c,a=1").ask(*sampler)) == "sample ot=th:c,a=1");
    CHECK(shown(child_of(true, true, "ot=th:f,a=1").ask(*sampler)) == "sample a=1");
    CHECK(shown(child_of(false, true, "ot=th:f").ask(*sampler)) == "drop ot=th:f");
    CHECK(shown(child_of(false, true, "ot=th:c").ask(*sampler)) == "drop");
}

TEST_CASE("each of the parent-based sampler's five places can be filled") {
    ParentBasedOptions options;
    options.root = make_always_off_sampler();
    options.remote_parent_sampled = make_always_off_sampler();
    options.remote_parent_not_sampled = make_always_on_sampler();
    options.local_parent_sampled = make_always_off_sampler();
    options.local_parent_not_sampled = make_always_on_sampler();
    const auto sampler = make_parent_based_sampler(options);
    CHECK(shown(child_of(true, true).ask(*sampler)) == "drop");
    CHECK(shown(child_of(false, true).ask(*sampler)) == "sample");
    CHECK(shown(child_of(true, false).ask(*sampler)) == "drop");
    CHECK(shown(child_of(false, false).ask(*sampler)) == "sample");
}

TEST_CASE("a probability keeps the same traces everywhere, and says so") {
    const auto quarter = make_probability_sampler(0.25);
    // ce929d... >= c000...: kept at 25 %, not at 10 %.
    CHECK(shown(Question().ask(*quarter)) == "sample ot=th:c");
    CHECK(shown(Question().ask(*make_probability_sampler(0.1))) == "drop");
    CHECK(shown(Question().ask(*make_probability_sampler(1))) == "sample ot=th:0");
    CHECK(shown(Question().ask(*make_probability_sampler(0))) == "drop");
    // It does not ask what the parent decided.
    CHECK(shown(child_of(false, true, "ot=th:f;rv:c0000000000000,a=1").ask(*quarter)) ==
          "sample ot=rv:c0000000000000;th:c,a=1");
    CHECK(shown(child_of(true, true, "ot=th:8;rv:bfffffffffffff").ask(*quarter)) ==
          "drop ot=rv:bfffffffffffff");
    CHECK(quarter->description() == "ProbabilitySampler{0.25}");
    CHECK(make_trace_id_ratio_sampler(0.1)->description() == "TraceIdRatioBased{0.1}");
}

TEST_CASE(
    "no probability is biased: kept counts and weighted counts within 3 "
    "sigma") {
    SeededRandom random(1);
    constexpr int kTraces = 200'000;
    for (const double probability : {0.5, 0.1, 0.01, 0.001}) {
        const auto sampler = make_probability_sampler(probability);
        double kept = 0;
        double weighted = 0;
        for (int i = 0; i < kTraces; ++i) {
            Question question;
            question.trace_id = random_trace(random);
            const SamplingResult result = question.ask(*sampler);
            if (result.decision == SamplingDecision::kDrop) continue;
            ++kept;
            weighted += adjusted_count(result);
        }
        const double sigma = std::sqrt(kTraces * probability * (1 - probability));
        CAPTURE(probability);
        CHECK(std::abs(kept - kTraces * probability) < 3 * sigma);
        CHECK(std::abs(weighted - kTraces) < 3 * sigma / probability);
    }
}

TEST_CASE("record-only is what always-record makes of a drop") {
    const auto sampler = make_always_record_sampler(make_always_off_sampler());
    CHECK(shown(Question().ask(*sampler)) == "record");
    CHECK(shown(Question().ask(*make_always_record_sampler(make_always_on_sampler()))) == "sample");
    CHECK(sampler->description() == "AlwaysRecord{root=AlwaysOffSampler}");
}

TEST_CASE("parts make a sampler: parent threshold, rules, annotations") {
    SpanMatch health;
    health.attribute_key = "http.route";
    health.attribute_values = {"/healthz"};
    SpanMatch checkout;
    checkout.names = {"*checkout*"};
    const auto root = make_composable_rule_based({
        {health, make_composable_always_off(), "health"},
        {checkout,
         make_composable_annotating({{"sampled.by", "checkout"}}, make_composable_always_on()),
         "checkout"},
        {[](const SamplingParameters&) { return true; }, make_composable_probability(0.25), "rest"},
    });
    const auto sampler = make_composite_sampler(make_composable_parent_threshold(root));

    Question question;
    question.attributes = {{"http.route", "/healthz"}};
    CHECK(shown(question.ask(*sampler)) == "drop");
    question.attributes.clear();
    question.name = "POST /checkout/pay";
    const SamplingResult annotated = question.ask(*sampler);
    CHECK(shown(annotated) == "sample ot=th:0");
    REQUIRE(annotated.attributes.size() == 1);
    CHECK(annotated.attributes.begin()->key == "sampled.by");
    CHECK(annotated.attributes.begin()->value.text() == "checkout");
    question.name = "GET /";
    CHECK(shown(question.ask(*sampler)) == "sample ot=th:c");

    // Children: the parent's threshold, checked against the trace; without one,
    // the flag alone.
    CHECK(shown(child_of(true, true, "ot=th:c,a=1").ask(*sampler)) == "sample ot=th:c,a=1");
    CHECK(shown(child_of(true, true, "ot=th:f,a=1").ask(*sampler)) == "drop a=1");
    CHECK(shown(child_of(true, true, "a=1").ask(*sampler)) == "sample a=1");
    CHECK(shown(child_of(false, true, "a=1").ask(*sampler)) == "drop a=1");
    CHECK(sampler->description() ==
          "CompositeSampler{ComposableParentThreshold{root=ComposableRuleBased{[("
          "health,ComposableAlwaysOff),"
          "(checkout,ComposableAnnotating{ComposableAlwaysOn}),(rest,"
          "ComposableProbability{0.25})]}}}");
}

TEST_CASE("annotations add up, and rules that throw do not match") {
    const auto sampler = make_composite_sampler(make_composable_rule_based(
        {{[](const SamplingParameters&) -> bool { throw 1; }, make_composable_always_off()},
         {SpanMatch(), make_composable_annotating(
                           {{"outer", 1}}, make_composable_annotating(
                                               {{"inner", 2}}, make_composable_always_on()))}}));
    const SamplingResult result = Question().ask(*sampler);
    REQUIRE(result.attributes.size() == 2);
    CHECK(result.attributes.begin()[0].key == "inner");
    CHECK(result.attributes.begin()[1].key == "outer");
}

TEST_CASE("a rule looks at kind, parent, names and values") {
    const auto matches = [](const SpanMatch& match, const Question& question) {
        return match(question.parameters());
    };
    Question question;
    question.attributes = {{"status", 404}, {"ok", true}, {"ratio", 0.5}};
    SpanMatch match;
    CHECK(matches(match, question));
    match.kinds = {SpanKind::kClient};
    CHECK_FALSE(matches(match, question));
    match.kinds.push_back(SpanKind::kServer);
    CHECK(matches(match, question));
    match.parents = {SpanMatch::Parent::kRemote};
    CHECK_FALSE(matches(match, question));
    match.parents = {SpanMatch::Parent::kNone};
    CHECK(matches(match, question));
    match.attribute_key = "status";
    match.attribute_values = {"404"};
    CHECK(matches(match, question));
    match.attribute_values = {"40"};
    CHECK_FALSE(matches(match, question));
    match.attribute_values.clear();
    match.attribute_included = {"4??"};
    CHECK(matches(match, question));
    match.attribute_excluded = {"*04"};
    CHECK_FALSE(matches(match, question));
    match.attribute_key = "absent";
    match.attribute_excluded.clear();
    CHECK_FALSE(matches(match, question));

    const std::vector<std::string> list = {"a", "redis"};
    Question with_list;
    with_list.attributes = {{"db", list}};
    SpanMatch any;
    any.attribute_key = "db";
    any.attribute_values = {"redis"};
    CHECK(matches(any, with_list));
    CHECK(matches(SpanMatch{.attribute_key = "ok", .attribute_values = {"true"}}, question));
    CHECK(matches(SpanMatch{.attribute_key = "ratio", .attribute_values = {"0.5"}}, question));
}

TEST_CASE("a rate is kept whatever comes, and weighted counts stay right") {
    ManualClock clock(0);
    SeededRandom random(4);
    constexpr double kPerSecond = 100;
    sdk::AdaptiveThreshold threshold(kPerSecond, clock);
    double kept = 0;
    double weighted = 0;
    double variance = 0;  // of the weighted count: each start adds (1 - p) / p
    double starts = 0;
    const auto run = [&](int seconds, int per_second) {
        kept = 0;
        for (int i = 0; i < seconds * per_second; ++i) {
            clock.advance(1'000'000'000 / static_cast<uint64_t>(per_second));
            const uint64_t t = threshold.next();
            const double p = sdk::probability_of(t);
            ++starts;
            variance += (1 - p) / p;
            if (random.next() >> 8 < t) continue;
            ++kept;
            weighted += 1 / p;
        }
    };
    run(10, 50);  // below the limit: all of it
    CHECK(kept == 500);
    run(3, 20'000);  // settles
    run(20, 20'000);
    CHECK(kept == doctest::Approx(20 * kPerSecond).epsilon(0.1));
    run(5, 500);  // what was remembered of 20,000 a second fades
    run(20, 500);
    CHECK(kept == doctest::Approx(20 * kPerSecond).epsilon(0.1));
    CHECK(std::abs(weighted - starts) < 3 * std::sqrt(variance));
}

TEST_CASE("a burst out of nothing is limited too") {
    ManualClock clock(0);
    sdk::AdaptiveThreshold threshold(100, clock);
    SeededRandom random(5);
    int kept = 0;
    for (int i = 0; i < 100'000; ++i) {
        if (random.next() >> 8 >= threshold.next()) ++kept;
    }
    // The first hundred, and then in proportion: 100 * (1 + ln(1000)).
    CHECK(kept < 1000);
    CHECK(kept > 500);
    CHECK(sdk::AdaptiveThreshold(0, clock).next() == sdk::kThresholdEnd);
}
