#include "rollup/operation_rollup.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "base/random.h"
#include "rollup/rollup_test_rows.h"
#include "store/search_test_model.h"

using namespace spanloom;

namespace {

constexpr uint64_t kMinute = kRollupMinuteNs;

uint64_t exact_quantile(std::vector<uint64_t> values, double q) {
    std::sort(values.begin(), values.end());
    const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
    return values[std::max<size_t>(rank, 1) - 1];
}

bool is_near(uint64_t got, uint64_t exact) {
    return std::abs(static_cast<double>(got) - static_cast<double>(exact)) <=
           0.032 * static_cast<double>(exact) + 0.5;
}

}  // namespace

TEST_CASE("every duration falls into the bucket whose bounds hold it") {
    SeededRandom random(1);
    uint32_t before = 0;
    for (uint64_t duration = 0; duration < 5000; ++duration) {
        const uint32_t bucket = DurationHistogram::bucket_of(duration);
        REQUIRE(bucket >= before);
        before = bucket;
    }
    for (int i = 0; i < 100'000; ++i) {
        const uint64_t duration = random.next() >> random.below(64);
        const uint32_t bucket = DurationHistogram::bucket_of(duration);
        REQUIRE(bucket < DurationHistogram::kBuckets);
        const uint64_t lower = DurationHistogram::lower_bound_of(bucket);
        REQUIRE(lower <= duration);
        REQUIRE(duration - lower < DurationHistogram::width_of(bucket));
        REQUIRE(DurationHistogram::width_of(bucket) <= std::max<uint64_t>(1, lower / 16));
    }
    CHECK(DurationHistogram::bucket_of(UINT64_MAX) == DurationHistogram::kBuckets - 1);
}

TEST_CASE("rates, errors and percentiles by step agree with a plain count") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        SeededRandom random(seed);
        OperationRollup sums({10 * kMinute, 40 * kMinute}, 5 * kMinute);
        REQUIRE(sums.step_count() == 6);
        std::vector<std::vector<uint64_t>> durations(6);
        std::vector<uint64_t> errors(6);
        std::vector<double> weights(6);
        for (int part = 0; part < 3; ++part) {
            Rows rows;
            rows.operations = {{"cart", "GET /", otlp::SpanKind::kServer},
                               {"cart", "query", otlp::SpanKind::kClient},
                               {"cart", "work", otlp::SpanKind::kConsumer}};
            for (int i = 0; i < 2000; ++i) {
                const auto op = static_cast<uint32_t>(random.below(3));
                const uint64_t start = random.below(50 * kMinute);
                const uint64_t duration = random.next() >> (20 + random.below(40));
                const bool error = random.below(5) == 0;
                const double weight = random.below(3) == 0 ? 4.0 : 1.0;
                rows.add(op, start, duration, error, weight);
                if (op == 1 || start < 10 * kMinute || start >= 40 * kMinute) continue;
                const uint64_t step = (start - 10 * kMinute) / (5 * kMinute);
                durations[step].push_back(duration);
                errors[step] += error ? 1 : 0;
                weights[step] += weight;
            }
            sums.add(rows.packed());
        }
        const auto services = sums.services();
        REQUIRE(services.size() == 1);
        uint64_t all = 0;
        for (size_t step = 0; step < 6; ++step) {
            const OperationCounts& got = services[0].steps[step];
            all += durations[step].size();
            CHECK(got.spans == durations[step].size());
            CHECK(got.errors == errors[step]);
            CHECK(got.weighted == doctest::Approx(weights[step]));
            CHECK(is_near(got.p50_ns, exact_quantile(durations[step], 0.50)));
            CHECK(is_near(got.p95_ns, exact_quantile(durations[step], 0.95)));
            CHECK(is_near(got.p99_ns, exact_quantile(durations[step], 0.99)));
        }
        CHECK(services[0].total.spans == all);
        const auto operations = sums.operations("cart");
        REQUIRE(operations.size() == 3);
        CHECK(operations[0].name == "GET /");
        CHECK(operations[0].kind == otlp::SpanKind::kServer);
        CHECK(sums.operations("absent").empty());
    }
}

TEST_CASE("a service without entry spans shows all of its spans") {
    Rows rows;
    rows.operations = {{"job", "step", otlp::SpanKind::kInternal},
                       {"web", "call", otlp::SpanKind::kClient},
                       {"web", "GET", otlp::SpanKind::kServer}};
    rows.add(0, 100, 5);
    rows.add(1, 100, 5);
    rows.add(1, 100, 5);
    rows.add(2, 100, 5);
    OperationRollup sums({}, 0);
    sums.add(rows.packed());
    const auto services = sums.services();
    REQUIRE(services.size() == 2);
    CHECK(services[0].service == "job");
    CHECK(services[0].total.spans == 1);
    CHECK(services[1].service == "web");
    CHECK(services[1].total.spans == 1);
}

TEST_CASE("operations beyond the limit of a section count as other, and none is lost") {
    Rows rows;
    std::vector<std::string> names;
    for (uint32_t i = 0; i < kSectionOperationsMax + 100; ++i)
        names.push_back("op" + std::to_string(i));
    for (uint32_t i = 0; i < names.size(); ++i) {
        rows.operations.push_back({"s", names[i], otlp::SpanKind::kServer});
        rows.add(i, 0, 1);
        if (i < kSectionOperationsMax) rows.add(i, 0, 1);
    }
    const RollupSection section = rows.section();
    CHECK(section.operations.size() == kSectionOperationsMax + 1);
    CHECK(section.operations.back().name == kOtherOperation);
    OperationRollup sums({}, 0);
    sums.add(pack(section));
    const auto other = sums.operations(kOtherOperation);
    REQUIRE_FALSE(other.empty());
    CHECK(other[0].total.spans + sums.overflowed() >= 100);
    uint64_t all = 0;
    for (const auto& service : sums.services())
        all += service.total.spans;
    CHECK(all == rows.operation.size());
}

TEST_CASE("a damaged section is refused, whatever byte is hit or missing") {
    SeededRandom random(2);
    Rows rows;
    rows.operations = {{"a", "x", otlp::SpanKind::kServer}, {"b", "y", otlp::SpanKind::kClient}};
    for (int i = 0; i < 200; ++i) {
        rows.add(static_cast<uint32_t>(random.below(2)), random.below(9 * kMinute),
                 random.below(9999), random.below(3) == 0, random.below(3) == 0 ? 2.5 : 1);
    }
    const std::string bytes = encode_rollup(rows.view());
    for (size_t size = 1; size < bytes.size(); ++size) {
        const auto cut = decode_rollup(std::string_view(bytes).substr(0, size));
        if (cut) CHECK(cut->cells() < rows.section().cells.size());
    }
    for (int i = 0; i < 5000; ++i) {
        std::string hit = bytes;
        hit[random.below(hit.size())] = static_cast<char>(random.below(256));
        const auto decoded = decode_rollup(hit);
        if (!decoded) continue;
        OperationRollup sums({0, 100 * kMinute}, kMinute);
        sums.add(*decoded);
        (void)sums.services();
    }
    CHECK(decode_rollup("\x07rest").error().code == ErrorCode::kUnsupported);
    CHECK(encode_rollup({}).empty());
}

TEST_CASE("sections of version 1 are read") {
    using namespace std::literals;
    // One service and operation; in minute 3 three spans in buckets 5, 7 and 7, one an error.
    const auto read = decode_rollup(
        "\x01\x01\x01s\x01\x00\x02\x01x\x00\x06\x03\x03\x01\0\0\0\0\0\0\x10\x40\x02\x05\x01\x02\x02"sv);
    REQUIRE(read.has_value());
    const RollupSection section = unpack(*read);
    REQUIRE(section.cells.size() == 1);
    const RollupCell& cell = section.cells.front();
    CHECK(cell.step == 3);
    CHECK(cell.count == 3);
    CHECK(cell.errors == 1);
    CHECK(cell.weighted == 4);
    CHECK(section.buckets == std::vector<std::pair<uint16_t, uint32_t>>{{5, 1}, {7, 2}});
}

TEST_CASE("steps are whole minutes and not too many") {
    CHECK(OperationRollup({0, kMinute}, 1).step_ns() == kMinute);
    CHECK(OperationRollup({0, 90 * kMinute}, 90'000'000'000).step_ns() == 2 * kMinute);
    const OperationRollup year({0, 365 * 24 * 60 * kMinute}, kMinute);
    CHECK(year.step_count() <= OperationRollup::kStepsMax);
    CHECK(OperationRollup({}, 0).step_count() == 1);
    CHECK(OperationRollup({5 * kMinute, 5 * kMinute}, 0).step_count() == 1);
}

TEST_CASE("segments are counted through the cache, which stays within its bytes") {
    using namespace spanloom::store;
    std::vector<std::shared_ptr<const Segment>> segments;
    for (uint64_t i = 0; i < 4; ++i) {
        SegmentBuilder builder(
            {.row_group_rows = 64, .zstd_level = 0, .rollup = make_operation_rollup()});
        builder.add(batch_of({{.trace = i,
                               .span = i,
                               .start = 60 * kMinute,
                               .duration = 7,
                               .service = "cart",
                               .name = "op" + std::to_string(i)}}));
        auto image = builder.finish();
        REQUIRE(image.has_value());
        auto segment = Segment::open(std::move(*image));
        REQUIRE(segment.has_value());
        segments.push_back(std::move(*segment));
    }
    RollupCache cache(1000);
    for (int round = 0; round < 3; ++round) {
        OperationRollup sums({59 * kMinute, 61 * kMinute}, kMinute);
        sums.add({segments, {}, {}}, cache);
        CHECK(sums.reason().empty());
        const auto services = sums.services();
        REQUIRE(services.size() == 1);
        CHECK(services[0].steps[0].spans == 0);
        CHECK(services[0].steps[1].spans == 4);
        CHECK(services[0].steps[1].p50_ns == 7);
        CHECK(sums.operations("cart").size() == 4);
        CHECK(cache.bytes() <= 1000);
    }
    segments.resize(1);
    OperationRollup rest({}, 0);
    rest.add({segments, {}, {}}, cache);
    CHECK(rest.services()[0].total.spans == 1);
}

TEST_CASE("buckets of cells take few bits where durations are spread as they are in life") {
    SeededRandom random(7);
    Rows rows;
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i)
        names.push_back("operation " + std::to_string(i));
    for (const std::string& name : names)
        rows.operations.push_back({"service", name, otlp::SpanKind::kServer});
    for (int i = 0; i < 120'000; ++i) {
        const auto operation = static_cast<uint32_t>(random.below(100));
        // About a bell on a logarithmic axis, elsewhere for each operation.
        double exponent = 12.0 + operation / 10.0;
        for (int k = 0; k < 4; ++k)
            exponent += static_cast<double>(random.below(1000)) / 500.0;
        rows.add(operation, random.below(30) * kMinute, static_cast<uint64_t>(std::exp2(exponent)));
    }
    const std::string bytes = encode_rollup(rows.view());
    const size_t buckets = rows.section().buckets.size();
    CHECK(buckets > 40'000);
    CHECK(bytes.size() * 16 < buckets * 9);
}
