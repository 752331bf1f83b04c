#include "sampling/trace_rates.h"

#include <cmath>
#include <map>
#include <numeric>

#include <doctest/doctest.h>

#include "base/random.h"
#include "otlp/tracestate.h"
#include "sampling/verdicts.h"

namespace spanloom::sampling {
namespace {

constexpr double kBatchS = 10;  // as forwarding decides

KeepRule rule_of(const std::string& settings) {
    auto rules = parse_keep_list(R"([{"name": "a", "by": ["name"], )" + settings + "}]");
    REQUIRE_MESSAGE(rules.has_value(), (rules ? "" : rules.error().message));
    return rules->front();
}

// Batches of so many traces of each key; what of them stays on average.
struct Stream {
    KeepRule rule;
    TraceRates rates = {};
    double now_s = 0;
    std::map<uint64_t, double> share = {};     // in the last batch
    std::map<uint64_t, double> received = {};  // since reset()
    std::map<uint64_t, double> kept = {};      // expected

    void batch(const std::map<uint64_t, size_t>& traces, double seconds = kBatchS) {
        std::vector<TraceRates::Seen> seen;
        for (const auto& [key, count] : traces)
            if (count > 0) seen.push_back({key, count});
        const std::vector<double> shares = rates.shares(rule, seen, now_s, now_s + seconds);
        REQUIRE(shares.size() == seen.size());
        share.clear();
        for (size_t i = 0; i < seen.size(); ++i) {
            share[seen[i].key] = shares[i];
            received[seen[i].key] += static_cast<double>(seen[i].traces);
            kept[seen[i].key] += static_cast<double>(seen[i].traces) * shares[i];
        }
        now_s += seconds;
    }
    void reset() {
        received.clear();
        kept.clear();
    }
};

// How many arrive of so many expected, as of independent senders.
size_t arrivals(Random& random, double expected) {
    size_t count = 0;
    for (double left = expected; left > 0; left -= 1) {
        const double chance = std::min(left, 1.0) / 2;
        for (int half = 0; half < 2; ++half)
            count += static_cast<double>(random.next() >> 11) * 0x1p-53 < chance ? 1 : 0;
    }
    return count;
}

// So many a second of each, until the averages have settled, and for the time that is returned.
double settle(Stream& stream, Random& random, const std::map<uint64_t, double>& rates) {
    constexpr int kSettling = 21;
    constexpr int kBatches = 400;
    for (int batch = 0; batch < kBatches; ++batch) {
        if (batch == kSettling) stream.reset();
        std::map<uint64_t, size_t> traces;
        for (const auto& [key, rate] : rates)
            traces[key] = arrivals(random, rate * kBatchS);
        stream.batch(traces);
    }
    return (kBatches - kSettling) * kBatchS;
}

}  // namespace

TEST_CASE("each key has the rate that it is to have, rare ones are whole") {
    Stream stream{rule_of(R"("per_key": 2)")};
    SeededRandom random(1);
    const std::map<uint64_t, double> rates = {{1, 500}, {2, 20}, {3, 3}, {4, 1}, {5, 0.02}};
    const double seconds = settle(stream, random, rates);
    CHECK(stream.kept[1] / seconds == doctest::Approx(2).epsilon(0.03));
    CHECK(stream.kept[2] / seconds == doctest::Approx(2).epsilon(0.05));
    CHECK(stream.kept[3] / seconds == doctest::Approx(2).epsilon(0.1));
    CHECK(stream.kept[4] == doctest::Approx(stream.received[4]).epsilon(0.05));
    CHECK(stream.kept[5] == stream.received[5]);
}

TEST_CASE("less than one in a batch is met as well") {
    Stream stream{rule_of(R"("per_key": 0.01)")};
    SeededRandom random(2);
    for (int batch = 0; batch < 2000; ++batch) {
        stream.batch({{1, arrivals(random, 50 * kBatchS)}, {2, arrivals(random, 0.5 * kBatchS)}});
        if (batch == 100) stream.reset();
    }
    const double seconds = 1899 * kBatchS;
    CHECK(stream.kept[1] / seconds == doctest::Approx(0.01).epsilon(0.05));
    CHECK(stream.kept[2] / seconds == doctest::Approx(0.01).epsilon(0.1));
}

TEST_CASE("a key's share is the same from one batch to the next while its rate is") {
    Stream stream{rule_of(R"("per_key": 1)")};
    SeededRandom random(3);
    std::vector<double> shares;
    size_t changes = 0;
    for (int batch = 0; batch < 200; ++batch) {
        stream.batch({{1, arrivals(random, 30 * kBatchS)}});
        if (!shares.empty() && shares.back() != stream.share[1]) ++changes;
        shares.push_back(stream.share[1]);
    }
    CHECK(changes <= 100);  // every second batch: 15 s are over
    for (size_t i = 10; i < shares.size(); ++i)
        CHECK(shares[i] == doctest::Approx(1.0 / 30).epsilon(0.2));
}

TEST_CASE("a burst is caught in the batch that brings it") {
    Stream stream{rule_of(R"("per_key": 5)")};
    for (int batch = 0; batch < 20; ++batch)
        stream.batch({{1, 100}, {2, 10}});
    CHECK(stream.share[1] == doctest::Approx(0.5));
    CHECK(stream.share[2] == 1);
    stream.reset();
    stream.batch({{1, 100'000}, {2, 10}});
    CHECK(stream.kept[1] <= 5 * TraceRates::kIntervalS * 1.01);
    CHECK(stream.share[2] == 1);  // a neighbour's burst is not its own
    stream.batch({{1, 100'000}});
    CHECK(stream.kept[1] <= 5 * 2 * TraceRates::kIntervalS);
    // And over soon after it is over.
    for (int batch = 0; batch < 40; ++batch)
        stream.batch({{1, 100}});
    CHECK(stream.share[1] == doctest::Approx(0.5).epsilon(0.05));
    // A key that was never seen, all at once.
    stream.reset();
    stream.batch({{9, 50'000}});
    CHECK(stream.kept[9] <= 5 * TraceRates::kIntervalS * 1.01);
}

TEST_CASE("what nothing comes of is forgotten, and silence is no credit") {
    Stream stream{rule_of(R"("per_key": 1)")};
    for (int batch = 0; batch < 10; ++batch)
        stream.batch({{1, 100}, {2, 1000}});
    CHECK(stream.rates.keys() == 2);
    for (int batch = 0; batch < 40; ++batch)
        stream.batch({{1, 100}});
    CHECK(stream.rates.keys() == 1);
    stream.now_s += 36'000;  // nothing was there to decide about
    stream.reset();
    stream.batch({{2, 1000}});
    CHECK(stream.rates.keys() == 1);
    CHECK(stream.kept[2] <= TraceRates::kIntervalS * 1.01);
}

TEST_CASE("however many keys there are, few are counted") {
    Stream stream{rule_of(R"("per_key": 1)")};
    std::map<uint64_t, size_t> traces;
    for (uint64_t key = 0; key < 3 * TraceRates::kKeysMax; ++key)
        traces[key * 7919] = 100;
    for (int batch = 0; batch < 5; ++batch)
        stream.batch(traces);
    CHECK(stream.rates.keys() == TraceRates::kKeysMax);
    // Those without a place of their own share one.
    double least = 1;
    for (const auto& [key, share] : stream.share)
        least = std::min(least, share);
    CHECK(least < 1e-4);
    CHECK(least > 0);
}

TEST_CASE("what all keys have together is shared out: those with few traces keep them all") {
    Stream stream{rule_of(R"("per_second": 10)")};
    SeededRandom random(4);
    const std::map<uint64_t, double> rates = {{1, 200}, {2, 50}, {3, 2}, {4, 0.5}};
    const double seconds = settle(stream, random, rates);
    double all = 0;
    for (const auto& [key, kept] : stream.kept)
        all += kept;
    CHECK(all / seconds == doctest::Approx(10).epsilon(0.05));
    CHECK(stream.kept[3] == doctest::Approx(stream.received[3]).epsilon(0.01));
    CHECK(stream.kept[4] == doctest::Approx(stream.received[4]).epsilon(0.01));
    CHECK(stream.kept[1] / seconds == doctest::Approx(3.75).epsilon(0.06));
    CHECK(stream.kept[2] / seconds == doctest::Approx(3.75).epsilon(0.06));
}

TEST_CASE("what stays of a stream counts for all of it, however rates change") {
    auto list = parse_keep_rules(R"({"keep": [{"name": "a", "per_key": 0.5, "by": ["name"]}]})");
    REQUIRE(list.has_value());
    std::vector<double> deviations;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SeededRandom random(seed);
        std::vector<TraceRates> rates;
        std::map<uint32_t, double> truth;
        std::map<uint32_t, double> counted;
        std::map<uint32_t, double> variance;
        double now_s = 0;
        for (int batch = 0; batch < 60; ++batch) {
            SurveyedTraces traces;
            traces.matches.resize(1);
            traces.keys_of_rule = {0};
            traces.keys.push_back({{"name"}, {}, {"steady", "bursts", "rare"}});
            const bool bursts = random.below(10) == 0;
            const size_t counts[] = {arrivals(random, 60), bursts ? 900U : 9U,
                                     arrivals(random, 0.4)};
            for (uint32_t key = 0; key < 3; ++key) {
                for (size_t i = 0; i < counts[key]; ++i) {
                    traces.ids.emplace_back();
                    traces.randomness.push_back(random.next() >> 8);
                    traces.keys[0].number_of.push_back(key);
                }
            }
            std::vector<uint32_t> numbers(traces.size());
            std::iota(numbers.begin(), numbers.end(), 0U);
            const auto verdicts =
                judge_streaming(*list, traces, numbers, {now_s, now_s + kBatchS}, rates);
            now_s += kBatchS;
            for (const uint32_t trace : numbers) {
                const uint32_t key = traces.keys[0].number_of[trace];
                const double weight = otlp::adjusted_count(verdicts[trace].threshold).value;
                truth[key] += 1;
                variance[key] += weight - 1;
                if (!verdicts[trace].is_kept) continue;
                CHECK(traces.randomness[trace] >= verdicts[trace].threshold);
                counted[key] += weight;
            }
        }
        CHECK(counted[2] == truth[2]);
        for (const uint32_t key : {0U, 1U}) {
            CAPTURE(seed);
            CHECK(variance[key] > 0);
            deviations.push_back((counted[key] - truth[key]) / std::sqrt(variance[key]));
            CHECK(std::abs(deviations.back()) < 3.5);
        }
    }
    const double mean = std::accumulate(deviations.begin(), deviations.end(), 0.0) /
                        static_cast<double>(deviations.size());
    CHECK(std::abs(mean) < 3 / std::sqrt(static_cast<double>(deviations.size())));
}

}  // namespace spanloom::sampling
