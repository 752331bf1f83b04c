#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include <doctest/doctest.h>
#include <simdjson.h>

#include "api/ageing_server.h"
#include "otlp/tracestate.h"

// What is told of traces after rules decided which stay, against what there was: by TraceQL from
// the kept ones, with their weights, and by the counts of all.
namespace spanloom::api {
namespace {

using sampling::test_trace;
using store::kHour;

const char* const kRules = R"({"recent": {"for": "1h"}, "keep": [
    {"name": "errors", "match": "{ status = error }", "rate": 0.5},
    {"name": "slow", "slowest": 0.02, "by": ["name"]},
    {"name": "rest", "per_second": 0.2, "by": ["name"]}]})";
constexpr uint64_t kRoutes = 5;
constexpr uint64_t kTracesPerRequest = 500;

// More than what `./dev test` has time for: ./dev soak sets them.
uint64_t setting(const char* name, uint64_t fallback) {
    const char* const text = std::getenv(name);
    return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

// What is known of a trace from its number alone.
struct Known {
    uint64_t route = 0;
    uint64_t duration_ns = 0;
    bool is_error = false;

    explicit Known(uint64_t number) {
        SeededRandom random(number * 2 + 1);
        route = std::min(random.below(8), random.below(5));
        duration_ns = static_cast<uint64_t>(20e6 * -std::log(random.unit() + 1e-12)) + 1;
        is_error = random.below(20) == 0;
    }
    std::string name() const { return "r" + std::to_string(route); }
    // As histogram_over_time() has them: the power of two that is not below.
    uint64_t bucket() const { return std::bit_width(duration_ns - 1); }
};

// Questions by their names: "count r1", "errors r1", "rate r1" (errors of all), "bucket r1 24".
struct Estimate {
    double truth = 0;
    double counted = 0;
    double variance = 0;  // of what sampling by chance gives: w - 1 of each trace
    double kept = 0;      // so many are expected
};
using Estimates = std::map<std::string, Estimate>;

std::vector<std::string> questions_about(const Known& trace) {
    std::vector<std::string> questions = {
        "count " + trace.name(), "bucket " + trace.name() + " " + std::to_string(trace.bucket())};
    if (trace.is_error) questions.push_back("errors " + trace.name());
    return questions;
}

struct Life : AgeingServer {
    uint64_t start_ns = f.clock.wall_ns();

    Life() : AgeingServer(kRules, 16U << 20) {}

    void receive(uint64_t first, uint64_t count) {
        for (uint64_t at = first; at < first + count; at += kTracesPerRequest) {
            std::vector<sampling::TestSpan> spans;
            for (uint64_t number = at; number < std::min(at + kTracesPerRequest, first + count);
                 ++number) {
                const Known known(number);
                sampling::TestSpan& span = spans.emplace_back();
                span.trace_id = test_trace(number);
                span.number = 1;
                span.name = known.name();
                span.start_ns = f.clock.wall_ns();
                span.duration_ns = known.duration_ns;
                span.is_error = known.is_error;
            }
            send(spans);
            if ((at - first) % (64 * kTracesPerRequest) == 0) REQUIRE(f.store->flush().has_value());
        }
        REQUIRE(f.store->flush().has_value());
    }

    // {"r1": 17, ...} or {"r1 24": 17, ...} of a TraceQL query.
    std::map<std::string, double> series(const std::string& query) {
        const Reply reply = server.get("/api/metrics/query?q=" + in_url(query) + "&start=1&end=" +
                                       std::to_string(f.clock.wall_ns() / 1'000'000'000));
        REQUIRE_MESSAGE(reply.status == 200, reply.body);
        CHECK(reply.headers.get("x-spanloom-weighted") == "true");
        std::map<std::string, double> found;
        simdjson::dom::parser parser;
        simdjson::dom::array list;
        REQUIRE(parser.parse(reply.body)["series"].get(list) == simdjson::SUCCESS);
        for (const simdjson::dom::element one : list) {
            std::string name;
            std::string bucket;
            simdjson::dom::array labels;
            REQUIRE(one["labels"].get(labels) == simdjson::SUCCESS);
            for (const simdjson::dom::element label : labels) {
                std::string_view key;
                REQUIRE(label["key"].get(key) == simdjson::SUCCESS);
                std::string_view text;
                double number = 0;
                if (key == "name" && !label["value"]["stringValue"].get(text)) name = text;
                if (key == "__bucket" && !label["value"]["doubleValue"].get(number))
                    bucket = " " + std::to_string(std::bit_width(
                                       static_cast<uint64_t>(std::llround(number * 1e9)) - 1));
            }
            double value = 0;
            REQUIRE(one["value"].get(value) == simdjson::SUCCESS);
            found[name + bucket] += value;
        }
        return found;
    }
    // The Prometheus families of all spans, by operation.
    std::map<std::string, double> exact(const std::string& selector) {
        const std::string query =
            "sum by (span_name) (increase(traces_spanmetrics_calls_total" + selector + "[2h]))";
        const Reply reply = server.get("/api/v1/query?query=" + in_url(query) + "&time=" +
                                       std::to_string((start_ns + kHour) / 1'000'000'000));
        REQUIRE_MESSAGE(reply.status == 200, reply.body);
        std::map<std::string, double> found;
        simdjson::dom::parser parser;
        simdjson::dom::array list;
        REQUIRE(parser.parse(reply.body)["data"]["result"].get(list) == simdjson::SUCCESS);
        for (const simdjson::dom::element one : list) {
            std::string_view name;
            std::string_view value;
            REQUIRE(one["metric"]["span_name"].get(name) == simdjson::SUCCESS);
            REQUIRE(one["value"].at(1).get(value) == simdjson::SUCCESS);
            found[std::string(name)] = parse_double(value).value_or(-1);
        }
        return found;
    }
    // Of each kept trace: its number and what it stands for.
    std::map<uint64_t, double> kept() {
        std::map<uint64_t, double> weights;
        for (const auto& segment : f.store->snapshot("default")) {
            const auto thresholds = segment->thresholds();
            REQUIRE(thresholds.has_value());
            for (uint32_t index = 0; index < segment->fragment_count(); ++index) {
                uint64_t number = 0;
                std::memcpy(&number, segment->fragment(index)->trace_id.bytes.data() + 1, 7);
                const uint64_t threshold = *thresholds == nullptr ? 0 : (**thresholds)[index];
                weights[number] = otlp::adjusted_count(threshold).value;
            }
        }
        return weights;
    }
};

}  // namespace

TEST_CASE("what is told of kept traces is unbiased, and what is counted of all is exact") {
    const uint64_t traces = setting("SPANLOOM_BIAS_TRACES", 10'000);
    const uint64_t seeds = setting("SPANLOOM_BIAS_SEEDS", 2);
    uint64_t estimated = 0;
    uint64_t beyond = 0;  // three standard deviations
    double sum = 0;
    double squares = 0;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
        CAPTURE(seed);
        Life life;
        const uint64_t first = 1 + seed * traces;
        life.receive(first, traces);
        Estimates estimates;
        std::map<std::string, double> calls;
        std::map<std::string, double> errors;
        for (uint64_t number = first; number < first + traces; ++number) {
            const Known known(number);
            for (const std::string& question : questions_about(known))
                estimates[question].truth += 1;
            calls[known.name()] += 1;
            if (known.is_error) errors[known.name()] += 1;
        }
        life.age();
        CHECK(life.exact("") == calls);
        CHECK(life.exact("{status_code=\"STATUS_CODE_ERROR\"}") == errors);
        const auto kept = life.kept();
        CHECK(kept.size() > 200);
        CHECK(kept.size() < traces);
        // Of each route: what a trace stands for that neither errors nor slowness chose.
        std::map<uint64_t, double> of_rest;
        for (const auto& [number, weight] : kept) {
            const Known known(number);
            double& rest = of_rest[known.route];
            if (!known.is_error) rest = std::max(rest, weight);
        }
        for (uint64_t number = first; number < first + traces; ++number) {
            const Known known(number);
            const auto found = kept.find(number);
            const bool is_slow = !known.is_error && found != kept.end() && found->second == 1;
            const double weight = is_slow ? 1 : known.is_error ? 2 : of_rest[known.route];
            for (const std::string& question : questions_about(known)) {
                estimates[question].variance += weight - 1;
                estimates[question].kept += 1 / weight;
            }
            // Of a ratio by its slopes: an error moves it by (1 - rate) / calls, another trace by
            // -rate / calls (the delta method).
            const double of_all = calls[known.name()];
            const double error_rate = errors[known.name()] / of_all;
            const double slope = ((known.is_error ? 1 : 0) - error_rate) / of_all;
            Estimate& rate = estimates["rate " + known.name()];
            rate.truth = error_rate;
            rate.variance += (weight - 1) * slope * slope;
        }
        const auto take = [&](const std::string& prefix, const std::string& query) {
            for (const auto& [name, value] : life.series(query))
                estimates[prefix + name].counted += value;
        };
        take("count ", "{} | count_over_time() by (name) with(counts=false)");
        take("errors ", "{ status = error } | count_over_time() by (name) with(counts=false)");
        take("bucket ", "{} | histogram_over_time(duration) by (name) with(counts=false)");
        for (const auto& [name, of_all] : calls) {
            const Estimate& failed = estimates["errors " + name];
            Estimate& rate = estimates["rate " + name];
            rate.counted = failed.counted / estimates["count " + name].counted;
            rate.kept = failed.kept;  // the fewer of the two
        }
        for (const auto& [question, estimate] : estimates) {
            CAPTURE(question);
            if (estimate.variance == 0) {
                CHECK(estimate.counted == estimate.truth);
                continue;
            }
            // The sum of few has no normal distribution.
            if (estimate.kept < 30) continue;
            const double z = (estimate.counted - estimate.truth) / std::sqrt(estimate.variance);
            CHECK(std::abs(z) < 4.5);
            beyond += std::abs(z) > 3;
            sum += z;
            squares += z * z;
            ++estimated;
        }
    }
    REQUIRE(estimated >= 5 * seeds);
    const auto number = static_cast<double>(estimated);
    MESSAGE(estimated << " estimates, " << beyond << " beyond three standard deviations; mean "
                      << sum / number << ", variance " << squares / number);
    // By chance 0.3 % lie there.
    CHECK(beyond <= 1 + estimated / 100);
    CHECK(std::abs(sum / std::sqrt(number)) < 4);
    CHECK(squares / number < 1.5);
}

}  // namespace spanloom::api
