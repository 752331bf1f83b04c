#include "sdk/sampling_strategy.h"

#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "sdk/probability.h"
#include "sdk/remote_sampler.h"

using namespace spanloom;
using namespace spanloom::sdk;

namespace {

// A trace whose randomness is 0 of 2^56 kept by none, 0x80... by half.
TraceId trace_with(uint64_t randomness) {
    TraceId id{{1}};
    for (size_t i = 0; i < 7; ++i)
        id.bytes[15 - i] = static_cast<uint8_t>(randomness >> (8 * i));
    return id;
}

std::string ask(auto& decider, std::string_view name, uint64_t randomness) {
    const Context root;
    const TraceId id = trace_with(randomness);
    const SamplingParameters parameters{root, id, name, SpanKind::kServer, {}, {}, "test"};
    SamplingResult result;
    if constexpr (requires { decider.decide(parameters); }) {
        result = decider.decide(parameters);
    } else {
        result = decider.should_sample(parameters);
    }
    if (result.decision == SamplingDecision::kDrop) return "drop";
    std::string text = "sample";
    if (!result.trace_state.empty()) text += " " + std::string(result.trace_state.text());
    for (const Attribute& attribute : result.attributes) {
        if (attribute.key == "sampler.type") text += " " + std::string(attribute.value.text());
    }
    return text;
}

constexpr uint64_t kLow = 0;
constexpr uint64_t kMiddle = 0x90000000000000;
constexpr uint64_t kHigh = 0xf8000000000000;

// Answers what a test put in, then fails.
class ScriptedSource final : public StrategySource {
  public:
    explicit ScriptedSource(std::deque<std::string> answers) : answers_(std::move(answers)) {}
    Result<std::string> fetch(std::string_view service, uint64_t) override {
        CHECK(service == "shop");
        if (answers_.empty()) return fail(ErrorCode::kUnavailable, "nobody there");
        std::string answer = std::move(answers_.front());
        answers_.pop_front();
        return answer;
    }

  private:
    std::deque<std::string> answers_;
};

}  // namespace

TEST_CASE("one probability for a service") {
    ManualClock clock(0);
    const auto strategy = SamplingStrategy::parse(
        R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.5}})", clock);
    REQUIRE(strategy);
    CHECK(ask(**strategy, "any", kHigh) == "sample ot=th:8 probabilistic");
    CHECK(ask(**strategy, "any", kLow) == "drop");
}

TEST_CASE("operations have their own, and a promise of some a second") {
    ManualClock clock(0);
    const auto strategy = SamplingStrategy::parse(R"({
      "strategyType": "PROBABILISTIC",
      "probabilisticSampling": {"samplingRate": 0.5},
      "operationSampling": {
        "defaultSamplingProbability": 0.0625,
        "defaultLowerBoundTracesPerSecond": 0.1,
        "perOperationStrategies": [
          {"operation": "/product", "probabilisticSampling": {"samplingRate": 0.5}},
          {"operation": "/metrics", "probabilisticSampling": {"samplingRate": 0}},
          {"operation": "/broken", "probabilisticSampling": {"samplingRate": 7}}
        ]
      }
    })",
                                                  clock);
    REQUIRE(strategy);
    CHECK(ask(**strategy, "/product", kMiddle) == "sample ot=th:8 probabilistic");
    CHECK(ask(**strategy, "/other", kHigh) == "sample ot=th:f probabilistic");
    CHECK(ask(**strategy, "/broken", kHigh) == "sample ot=th:f probabilistic");
    // The promise: one in ten seconds, without a threshold, for nobody knows how
    // many it stands for.
    CHECK(ask(**strategy, "/metrics", kHigh) == "sample lowerbound");
    CHECK(ask(**strategy, "/metrics", kHigh) == "drop");
    clock.advance(9'000'000'000);
    CHECK(ask(**strategy, "/metrics", kHigh) == "drop");
    clock.advance(1'000'000'000);
    CHECK(ask(**strategy, "/metrics", kLow) == "sample lowerbound");
    // What chance took counts for the promise as well.
    CHECK(ask(**strategy, "/product", kLow) == "sample lowerbound");
    CHECK(ask(**strategy, "/product", kLow) == "drop");
}

TEST_CASE("a rate for a service") {
    ManualClock clock(0);
    const auto strategy = SamplingStrategy::parse(
        R"({"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":2}})",
        clock);
    REQUIRE(strategy);
    CHECK(ask(**strategy, "any", kLow) == "sample ot=th:0 ratelimiting");
    CHECK(ask(**strategy, "any", kLow) == "sample ot=th:0 ratelimiting");
    CHECK(ask(**strategy, "any", kLow) == "drop");
}

TEST_CASE("answers that are none") {
    ManualClock clock(0);
    for (const char* text :
         {"", "[]", "{}", "not json", R"({"probabilisticSampling":{"samplingRate":2}})",
          R"({"operationSampling":{"defaultSamplingProbability":-1}})", R"({"strategyType":)"}) {
        CAPTURE(text);
        CHECK_FALSE(SamplingStrategy::parse(text, clock).has_value());
    }
}

TEST_CASE(
    "the initial sampler decides until the first answer, and a bad one "
    "changes nothing") {
    ManualClock clock(0);
    RemoteSamplerOptions options;
    options.service = "shop";
    options.initial = make_always_off_sampler();
    RemoteSampler sampler(options,
                          std::make_unique<ScriptedSource>(std::deque<std::string>{
                              R"({"probabilisticSampling":{"samplingRate":1}})", "broken",
                              R"({"probabilisticSampling":{"samplingRate":0}})"}),
                          clock, false);
    CHECK(ask(sampler, "any", kHigh) == "drop");
    CHECK(sampler.poll());
    CHECK(ask(sampler, "any", kLow) == "sample ot=th:0 probabilistic");
    CHECK_FALSE(sampler.poll());
    CHECK(ask(sampler, "any", kLow) == "sample ot=th:0 probabilistic");
    CHECK(sampler.poll());
    CHECK(ask(sampler, "any", kHigh) == "drop");
    CHECK_FALSE(sampler.poll());
    CHECK(ask(sampler, "any", kHigh) == "drop");
}

TEST_CASE("strategies change under the spans that ask") {
    SystemClock clock;
    RemoteSamplerOptions options;
    options.service = "shop";
    std::deque<std::string> answers;
    for (int i = 0; i < 200; ++i)
        answers.push_back(R"({"probabilisticSampling":{"samplingRate":1}})");
    RemoteSampler sampler(options, std::make_unique<ScriptedSource>(std::move(answers)), clock,
                          false);
    REQUIRE(sampler.poll());
    std::atomic<bool> is_done = false;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            while (!is_done) {
                if (ask(sampler, "any", kLow) != "sample ot=th:0 probabilistic") ++wrong;
            }
        });
    }
    for (int i = 0; i < 199; ++i)
        CHECK(sampler.poll());
    is_done = true;
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}
