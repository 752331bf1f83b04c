#include "traceql/value_sketch.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

using namespace spanloom::traceql;

namespace {

constexpr double kShares[] = {0, 0.25, 0.5, 0.95, 0.99, 1};

// The least value that at least this share of the weight does not exceed.
double exact(std::vector<std::pair<double, double>> values, double share) {
    std::sort(values.begin(), values.end());
    double total = 0;
    for (const auto& [value, weight] : values)
        total += weight;
    double sum = 0;
    for (const auto& [value, weight] : values) {
        sum += weight;
        if (sum >= share * total * (1 - 1e-12)) return value;
    }
    return values.back().first;
}

}  // namespace

TEST_CASE("few values are kept as they are") {
    ValueSketch sketch;
    for (const double value : sketch.quantiles(kShares))
        CHECK(std::isnan(value));
    for (int i = 64; i > 0; --i)
        sketch.add(i * 1.001, 1);
    sketch.add(std::nan(""), 1);
    sketch.add(5, 0);
    CHECK(sketch.quantiles(std::vector<double>{0.5})[0] == 32 * 1.001);
}

TEST_CASE("quantiles of many values are near them, however they came") {
    std::mt19937_64 random(7);
    for (const bool is_weighted : {false, true}) {
        for (const size_t count : {65U, 300U, 511U, 512U, 5'000U, 40'000U}) {
            std::vector<std::pair<double, double>> values;
            for (size_t i = 0; i < count; ++i) {
                const double magnitude = std::exp(static_cast<double>(random() % 1000) / 40.0);
                const double sign = random() % 10 == 0 ? -1 : 1;
                const double weight = is_weighted && random() % 3 == 0 ? 2.5 : 1;
                values.emplace_back(sign * magnitude, weight);
            }
            ValueSketch whole;
            std::vector<ValueSketch> parts(7);
            for (size_t i = 0; i < count; ++i) {
                whole.add(values[i].first, values[i].second);
                parts[i % parts.size()].add(values[count - 1 - i].first,
                                            values[count - 1 - i].second);
            }
            ValueSketch joined;
            for (const ValueSketch& part : parts)
                joined.add(part);
            const std::vector<double> found = whole.quantiles(kShares);
            CHECK(found == joined.quantiles(kShares));
            for (size_t i = 0; i < found.size(); ++i) {
                const double wanted = exact(values, kShares[i]);
                CHECK(std::abs(found[i] - wanted) <= std::abs(wanted) * 0.008);
            }
            CHECK(whole.memory_bytes() < 200'000);
        }
    }
}

TEST_CASE("durations take few bytes each") {
    std::mt19937_64 random(11);
    for (const size_t count : {100U, 1'000U, 3'000U, 20'000U}) {
        CAPTURE(count);
        std::vector<std::pair<double, double>> values;
        ValueSketch sketch;
        for (size_t i = 0; i < count; ++i) {
            const double ns = std::floor(std::exp(static_cast<double>(random() % 1000) / 60.0));
            values.emplace_back(i % 50 == 0 ? 0 : ns, 1);
            if (!sketch.add_in_place(values.back().first)) sketch.add(values.back().first, 1);
        }
        const std::vector<double> found = sketch.quantiles(kShares);
        for (size_t i = 0; i < found.size(); ++i) {
            const double wanted = exact(values, kShares[i]);
            CHECK(std::abs(found[i] - wanted) <= std::abs(wanted) * 0.008);
        }
        CHECK(sketch.memory_bytes() <= 600 + std::min<size_t>(count * 4, 32'000));
    }
}

TEST_CASE("values far apart need no more room than they are") {
    ValueSketch sketch;
    for (int i = 0; i < 100; ++i)
        sketch.add(i % 2 == 0 ? 1e-300 : 1e300, 1);
    const std::vector<double> found = sketch.quantiles(std::vector<double>{0.5, 0.51});
    CHECK(found[0] == doctest::Approx(1e-300).epsilon(0.01));
    CHECK(found[1] == doctest::Approx(1e300).epsilon(0.01));
    CHECK(sketch.memory_bytes() < 4'000);
}
