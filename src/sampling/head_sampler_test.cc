#include "sampling/head_sampler.h"

#include <cmath>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/memory_io.h"
#include "sampling/test_traces.h"
#include "store/engine_fixture.h"

// How clients are told to sample, and how adaptive shares find their targets.
namespace spanloom::sampling {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

HeadStrategies parsed(std::string_view json) {
    auto strategies = parse_head_strategies(json);
    REQUIRE_MESSAGE(strategies.has_value(), (strategies ? "" : strategies.error().message));
    return std::move(*strategies);
}

std::string error_of(std::string_view json) {
    const auto strategies = parse_head_strategies(json);
    REQUIRE_FALSE(strategies.has_value());
    return strategies.error().message;
}

// The example of Jaeger's manual.
const char* const kJaegersFile = R"({
  "service_strategies": [
    {"service": "foo", "type": "probabilistic", "param": 0.8, "operation_strategies": [
      {"operation": "op1", "type": "probabilistic", "param": 0.2},
      {"operation": "op2", "type": "probabilistic", "param": 0.4},
      {"operation": "op3", "type": "ratelimiting", "param": 7}]},
    {"service": "bar", "type": "ratelimiting", "param": 5}],
  "default_strategy": {"type": "probabilistic", "param": 0.5, "operation_strategies": [
      {"operation": "/health", "type": "probabilistic", "param": 0.0},
      {"operation": "op2", "type": "probabilistic", "param": 0.1}]}})";

// Processes that sample as they are told, with known truth. One operation is one rate.
struct Fleet {
    enum class Sdk : uint8_t {
        kBare,        // writes nothing down, like Java's
        kWeighed,     // writes th
        kNamesLater,  // the sampler knows no operation
    };
    Sdk sdk = Sdk::kBare;
    std::vector<std::pair<std::string, double>> rates;

    static double share(const HeadAnswer& answer, const std::string& operation, Sdk sdk) {
        if (sdk != Sdk::kNamesLater) {
            for (const auto& [name, share] : answer.operations) {
                if (name == operation) return share;
            }
        }
        return answer.param;
    }
    static double received(const HeadAnswer& answer, const std::string& operation, double rate,
                           Sdk sdk) {
        const double by_chance = rate * share(answer, operation, sdk);
        return std::max(by_chance, std::min(rate, answer.at_least_per_second));
    }
    double all_received(const HeadAnswer& answer) const {
        double sum = 0;
        for (const auto& [name, rate] : rates)
            sum += received(answer, name, rate, sdk);
        return sum;
    }
    std::vector<RootCount> send(const HeadAnswer& answer, double seconds) const {
        std::vector<RootCount> counts;
        for (const auto& [name, rate] : rates) {
            const double now = received(answer, name, rate, sdk) * seconds;
            const auto spans = static_cast<uint64_t>(std::llround(now));
            if (spans == 0) continue;
            RootCount& count = counts.emplace_back();
            count.service = "shop";
            count.operation = name;
            (sdk == Sdk::kWeighed ? count.weighed : count.bare) = spans;
            if (sdk == Sdk::kWeighed)
                count.weighed_traces = static_cast<double>(spans) / share(answer, name, sdk);
        }
        return counts;
    }
};

struct SamplerFixture {
    MemoryIo io;
    store::Documents documents{io};
    ManualClock clock{store::kNow};
    MetricsRegistry metrics;
    Fleet fleet;
    HeadAnswer told;  // what the clients follow
    std::string error;
    uint64_t asked = 0;
    std::unique_ptr<HeadSampler> sampler;

    void start(std::optional<HeadStrategies> configured) {
        const auto count = [this](store::TimeRange range) -> Result<std::vector<RootCount>> {
            ++asked;
            if (!error.empty()) return fail(ErrorCode::kInternal, "{}", error);
            return fleet.send(told, static_cast<double>(range.end_ns - range.start_ns) / 1e9);
        };
        auto started = HeadSampler::start(documents, clock, metrics, std::move(configured), count);
        REQUIRE_MESSAGE(started.has_value(), (started ? "" : started.error().message));
        sampler = std::move(*started);
    }
    // The next adjustment, a minute after clients have asked.
    void adjust() {
        told = sampler->answer("shop");
        clock.advance(120 * kSecond);
        sampler->tick();
        told = sampler->answer("shop");
    }
    double share(const std::string& operation) const {
        return Fleet::share(told, operation, Fleet::Sdk::kBare);
    }
};

const char* const kAdaptive = R"({"default_strategy": {"type": "adaptive", "param": 2}})";

}  // namespace

TEST_CASE("Jaeger's strategies file means what it means to Jaeger") {
    SamplerFixture f;
    f.start(parsed(kJaegersFile));
    const HeadAnswer foo = f.sampler->answer("foo");
    CHECK(foo.param == 0.8);
    CHECK(foo.at_least_per_second == 0);
    using Shares = std::vector<std::pair<std::string, double>>;
    // Its own before those of the default; limits for an operation are not known to clients.
    CHECK(foo.operations == Shares{{"op1", 0.2}, {"op2", 0.4}, {"/health", 0}});
    const HeadAnswer bar = f.sampler->answer("bar");
    CHECK(bar.is_rate_limited);
    CHECK(bar.param == 5);
    CHECK_FALSE(bar.has_operations);
    const HeadAnswer other = f.sampler->answer("nobody knows");
    CHECK(other.param == 0.5);
    CHECK(other.operations == Shares{{"/health", 0}, {"op2", 0.1}});
    const std::string printed = print_head_strategies(parsed(kJaegersFile));
    CHECK(print_head_strategies(parsed(printed)) == printed);
}

TEST_CASE("without any setting everything is sampled") {
    SamplerFixture f;
    f.start(std::nullopt);
    const HeadAnswer answer = f.sampler->answer("shop");
    CHECK(answer.param == 1);
    CHECK_FALSE(answer.is_rate_limited);
    CHECK_FALSE(answer.has_operations);
    CHECK(f.sampler->strategies()->source == "default");
}

TEST_CASE("strategies that cannot be are refused with their place") {
    CHECK(error_of("[]").find("must be an object") != std::string::npos);
    CHECK(error_of(R"({"defaults": 1})").find("defaults: there is no such") != std::string::npos);
    CHECK(error_of(R"({"default_strategy": {"type": "probabilistic", "param": 2}})") ==
          "default_strategy: param: must be a share of the traces, from 0 to 1");
    CHECK(error_of(R"({"default_strategy": {"type": "sometimes", "param": 1}})") ==
          "default_strategy: type: must be probabilistic, ratelimiting or adaptive");
    CHECK(error_of(R"({"service_strategies": [{"service": "a", "type": "ratelimiting",
        "param": 1.5}]})") ==
          "service_strategies: [0]: param: must be a whole number of traces a second");
    CHECK(error_of(R"({"service_strategies": [{"type": "adaptive", "param": 1}]})") ==
          "service_strategies: [0]: needs service: its service.name");
    CHECK(error_of(R"({"service_strategies": [{"service": "a", "type": "adaptive", "param": 1},
        {"service": "a", "type": "adaptive", "param": 2}]})") ==
          "service_strategies: [1]: there are two of 'a'");
    CHECK(error_of(R"({"service_strategies": [{"service": "a", "type": "probabilistic", "param": 1,
        "operation_strategies": [{"operation": "o", "type": "adaptive", "param": 0}]}]})") ==
          "service_strategies: [0]: operation_strategies: [0]: param: must be a number of traces a "
          "second, above 0");
    CHECK(error_of(R"({"adaptive": {"every": "1s"}})") ==
          "adaptive: every: must be a duration from 5s to 1h");
    CHECK(error_of(R"({"adaptive": {"min": 0.5, "max": 0.1}})") == "adaptive: min is above max");
    // As YAML hands numbers over.
    CHECK(parsed(R"({"default_strategy": {"type": "adaptive", "param": "1.5"}})")
              .by_default.strategy.param == 1.5);
}

TEST_CASE("adaptive shares reach their targets in three adjustments") {
    SamplerFixture f;
    f.start(parsed(kAdaptive));
    SUBCASE("of clients that write nothing down") {
        f.fleet.sdk = Fleet::Sdk::kBare;
    }
    SUBCASE("of clients that write th") {
        f.fleet.sdk = Fleet::Sdk::kWeighed;
    }
    f.fleet.rates = {{"busy", 40'000}, {"usual", 50}, {"rare", 0.2}, {"hourly", 0.0003}};
    f.told = f.sampler->answer("shop");
    CHECK(f.told.param == 0.1);
    CHECK(f.told.at_least_per_second == doctest::Approx(1.0 / 60));
    for (int i = 0; i < 3; ++i)
        f.adjust();
    CHECK(Fleet::received(f.told, "busy", 40'000, f.fleet.sdk) == doctest::Approx(2).epsilon(0.2));
    CHECK(Fleet::received(f.told, "usual", 50, f.fleet.sdk) == doctest::Approx(2).epsilon(0.2));
    CHECK(f.share("rare") == 1);
    // Nobody has seen it: it is sampled as what is new, and promised its minimum.
    CHECK(Fleet::received(f.told, "hourly", 0.0003, f.fleet.sdk) == 0.0003);
    CHECK(f.told.param == 0.1);
    const HeadAnswer before = f.told;
    f.adjust();
    CHECK(f.told.operations == before.operations);
    // Ten times as much traffic is found again at once.
    f.fleet.rates[1].second = 500;
    f.adjust();
    CHECK(Fleet::received(f.told, "usual", 500, f.fleet.sdk) == doctest::Approx(2).epsilon(0.2));
}

TEST_CASE("clients whose sampler does not know the operation's later name come to the target") {
    SamplerFixture f;
    f.start(parsed(kAdaptive));
    f.fleet = {Fleet::Sdk::kNamesLater, {{"GET /a", 1000}, {"GET /b", 100}}};
    for (int i = 0; i < 3; ++i)
        f.adjust();
    CHECK(f.fleet.all_received(f.told) < 2 * 2 * 1.3);
    CHECK(f.fleet.all_received(f.told) > 1);
    CHECK(f.share("GET") == doctest::Approx(4.0 / 1100).epsilon(0.3));
    // It is known after a restart, too.
    f.start(parsed(kAdaptive));
    for (int i = 0; i < 5; ++i)
        f.adjust();
    CHECK(f.fleet.all_received(f.told) < 2 * 2 * 1.3);
    CHECK(f.fleet.all_received(f.told) > 1);
    // When they have gone, what is new begins as it did at first.
    f.fleet.rates.clear();
    for (int i = 0; i < 10; ++i)
        f.adjust();
    CHECK(f.share("GET") == 0.1);
}

TEST_CASE("a flood does not hide a rare operation that comes later") {
    SamplerFixture f;
    f.start(parsed(kAdaptive));
    f.fleet.rates = {{"flood", 100'000}};
    for (int i = 0; i < 5; ++i)
        f.adjust();
    f.fleet.rates.emplace_back("refund", 1);
    f.adjust();
    CHECK(f.share("refund") == 1);
    CHECK(Fleet::received(f.told, "flood", 100'000, f.fleet.sdk) ==
          doctest::Approx(2).epsilon(0.2));
}

TEST_CASE("a share takes bounded steps and stays between its bounds") {
    SamplerFixture f;
    f.start(parsed(R"({"default_strategy": {"type": "adaptive", "param": 1,
        "operation_strategies": [{"operation": "health", "type": "probabilistic", "param": 0}]},
        "adaptive": {"initial": 0.5, "min": 0.001, "max": 0.8}})"));
    f.fleet.rates = {{"flood", 1e7}, {"health", 100}};
    f.adjust();
    CHECK(f.share("flood") == 0.005);
    CHECK(f.share("health") == 0);
    f.adjust();
    CHECK(f.share("flood") == 0.001);
    f.fleet.rates = {{"flood", 0.5}};
    f.adjust();
    CHECK(f.share("flood") == 0.01);
    // Nothing came at all: twice as much.
    f.fleet.rates.clear();
    f.adjust();
    CHECK(f.share("flood") == 0.02);
    for (int i = 0; i < 10; ++i)
        f.adjust();
    CHECK(f.share("flood") == 0.8);
    // A day without a trace, and it is forgotten.
    for (int i = 0; i < 721; ++i)
        f.adjust();
    CHECK(f.sampler->clients()[0].shares->operations.empty());
    CHECK(f.share("health") == 0);
}

TEST_CASE("what was learned and what was set survive a restart") {
    SamplerFixture f;
    f.start(std::nullopt);
    CHECK_FALSE(f.sampler->replace(kAdaptive, 3).has_value());
    CHECK(f.sampler->replace("{", 0).error().code == ErrorCode::kInvalidArgument);
    const auto set = f.sampler->replace(kAdaptive, 0);
    REQUIRE(set.has_value());
    CHECK((*set)->version == 1);
    CHECK((*set)->source == "api");
    f.fleet.rates = {{"busy", 1000}};
    for (int i = 0; i < 3; ++i)
        f.adjust();
    const HeadAnswer before = f.told;
    CHECK(before.operations.size() == 1);
    f.start(parsed(kJaegersFile));
    CHECK(f.sampler->strategies()->version == 1);
    CHECK(f.sampler->answer("shop").operations == before.operations);
    CHECK(f.sampler->answer("shop").param == before.param);
    CHECK(f.sampler->reset(2).error().code == ErrorCode::kAlreadyExists);
    REQUIRE(f.sampler->reset(1).has_value());
    CHECK(f.sampler->strategies()->source == "file");
    CHECK(f.sampler->answer("shop").param == 0.5);
    f.start(parsed(kJaegersFile));
    CHECK(f.sampler->strategies()->source == "file");
    const auto again = f.sampler->replace(kAdaptive, 0);
    REQUIRE(again.has_value());
    CHECK((*again)->version > 1);
}

TEST_CASE("a service that does not ask keeps its shares, and so does one whose counts fail") {
    SamplerFixture f;
    f.start(parsed(kAdaptive));
    f.fleet.rates = {{"busy", 1000}};
    f.error = "the disk is slow";
    f.adjust();
    CHECK(f.share("busy") == 0.1);
    CHECK(f.metrics.total("head_sampling_failures_total") == 1);
    f.error.clear();
    f.adjust();
    CHECK(f.share("busy") == 0.002);
    // Half the interval is not over: nothing is counted.
    const uint64_t asked = f.asked;
    f.clock.advance(60 * kSecond);
    f.sampler->tick();
    CHECK(f.asked == asked);
    f.fleet.rates = {{"busy", 10}};
    f.clock.advance(700 * kSecond);
    f.sampler->tick();
    CHECK(f.sampler->clients()[0].shares->operations.at("busy").share == 0.002);
}

TEST_CASE("services and operations are bounded") {
    SamplerFixture f;
    f.start(parsed(kAdaptive));
    f.fleet.rates = {{"busy", 1000}};
    f.adjust();
    for (size_t i = 0; i < HeadSampler::kClientsMax + 5; ++i) {
        f.clock.advance(1);
        f.sampler->answer(fmt::format("service {}", i));
    }
    CHECK(f.sampler->clients().size() == HeadSampler::kClientsMax);
    CHECK(f.metrics.total("head_sampling_overflow_total") == 6);
    // What was learned is there after all of them.
    CHECK(f.sampler->answer("shop").operations.size() == 1);
    CHECK(f.metrics.total("head_sampling_overflow_total") == 6);
    f.sampler->answer(std::string(kHeadNameBytesMax + 1, 'x'));
    CHECK(f.sampler->clients().size() == HeadSampler::kClientsMax);
    for (int i = 0; i < 20'000; ++i)
        f.fleet.rates.emplace_back(fmt::format("GET /users/{:030}", i), 1);
    f.adjust();
    size_t bytes = 0;
    for (const HeadClient& client : f.sampler->clients()) {
        if (client.service == "shop") bytes = client.shares->operations.size() * (41 + 48);
    }
    CHECK(bytes > HeadSampler::kLearnedBytesMax - 100);
    CHECK(bytes <= HeadSampler::kLearnedBytesMax);
    CHECK(f.told.operations.size() == kHeadOperationsMax);
    CHECK(f.metrics.total("head_sampling_overflow_total") > 10'000);
    CHECK(f.metrics.total("head_sampling_failures_total") == 0);
    f.start(parsed(kAdaptive));
    CHECK(f.sampler->answer("shop").operations == f.told.operations);
}

TEST_CASE("roots are counted from the store, with what their clients say of their share") {
    store::StoreFixture f;
    f.open();
    std::vector<TestSpan> spans;
    uint64_t next = 0;
    const auto add = [&](const std::string& name, uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) {
            TestSpan& root = spans.emplace_back();
            root.trace_id = test_trace(++next);
            root.number = 1;
            root.name = name;
            root.start_ns = f.clock.wall_ns() - kSecond;
        }
        return spans.end() - static_cast<std::ptrdiff_t>(count);
    };
    add("bare", 3);
    for (auto root = add("th", 2); root != spans.end(); ++root)
        root->trace_state = "vendor=1, ot=rv:0123456789abcd;th:c";
    add("th", 1)->trace_state = "ot=th:0";
    for (auto root = add("param", 5); root != spans.end(); ++root) {
        root->sampler = "probabilistic";
        root->sampler_param = 0.01;
    }
    auto lower = add("param", 1);
    lower->sampler = "lowerbound";
    lower->sampler_param = 1.0 / 60;
    add("old", 1)->start_ns -= 100 * kSecond;
    auto child = add("child", 1);
    child->number = 2;
    child->parent = 1;
    REQUIRE(f.send(batch_of(spans, f.clock.wall_ns())).has_value());
    REQUIRE(f.store->seal().has_value());
    const uint64_t now = f.clock.wall_ns();
    const auto counts = count_roots(*f.store, "default", {now - 2 * kSecond, now});
    REQUIRE_MESSAGE(counts.has_value(), (counts ? "" : counts.error().message));
    std::string text;
    for (const RootCount& count : *counts)
        text += fmt::format("{} {}: {} of {}, {}\n", count.service, count.operation, count.weighed,
                            count.weighed_traces, count.bare);
    CHECK(text ==
          "shop bare: 0 of 0, 3\n"
          "shop param: 6 of 501, 0\n"
          "shop th: 3 of 9, 0\n");
}

}  // namespace spanloom::sampling
