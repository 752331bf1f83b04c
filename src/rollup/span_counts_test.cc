#include "rollup/span_counts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include <doctest/doctest.h>

#include "base/random.h"
#include "rollup/rollup_series.h"
#include "rollup/rollup_test_rows.h"

using namespace spanloom;

namespace {

constexpr uint64_t kMinute = kRollupMinuteNs;
constexpr uint64_t kHour = 60 * kMinute;

// Three operations over two hours, weighted now and then.
Rows random_rows(uint64_t seed, int count) {
    SeededRandom random(seed);
    Rows rows;
    rows.operations = {{"cart", "a", otlp::SpanKind::kServer},
                       {"cart", "b", otlp::SpanKind::kClient},
                       {"front", "c", otlp::SpanKind::kServer}};
    for (int i = 0; i < count; ++i) {
        rows.add(static_cast<uint32_t>(random.below(3)), random.below(2 * kHour),
                 random.next() >> random.below(64), random.below(7) == 0,
                 random.below(3) == 0 ? 4 : 1);
        rows.bytes.push_back(static_cast<uint32_t>(300 + random.below(500)));
    }
    return rows;
}

// Everything that a section says, for comparing; sizes are rounded in some forms.
enum class Sizes : uint8_t { kLeftOut, kShown };
std::string shown(const RollupSection& section, Sizes sizes = Sizes::kShown) {
    std::string out = std::to_string(section.step_s) + "s\n";
    for (const RollupCell& cell : section.cells) {
        const RollupOperation& one = section.operations[cell.operation];
        out += section.services[one.service] + " " + one.name + " " +
               std::to_string(static_cast<int>(one.kind)) + " @" + std::to_string(cell.step) +
               " n" + std::to_string(cell.count) + " e" + std::to_string(cell.errors) + " w" +
               std::to_string(std::llround(cell.weighted));
        if (sizes == Sizes::kShown) out += " b" + std::to_string(cell.bytes);
        for (uint32_t i = 0; i < cell.buckets; ++i) {
            const auto& [bucket, spans] = section.buckets[cell.first_bucket + i];
            out += " " + std::to_string(bucket) + ":" + std::to_string(spans);
        }
        out += "\n";
    }
    return out;
}

std::string counts_of(const RollupSection& section) {
    return shown(section, Sizes::kLeftOut);
}

RollupSection again(const RollupSection& section) {
    auto decoded = decode_rollup(encode_series(section), section.step_s);
    REQUIRE(decoded.has_value());
    return unpack(*decoded);
}

RollupSection again_as_cells(const RollupSection& section) {
    auto decoded = decode_rollup(encode_section(section), section.step_s);
    REQUIRE(decoded.has_value());
    return unpack(*decoded);
}

RollupSection sum_of(const std::vector<const RollupSection*>& sections, uint32_t step_s,
                     DurationDetail detail = {}) {
    RollupSum sum(step_s, detail);
    for (const RollupSection* section : sections)
        sum.add(pack(*section));
    return sum.finish();
}

}  // namespace

TEST_CASE("sums of parts are those of all rows, in steps of any length, and come back as written") {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        const Rows rows = random_rows(seed, static_cast<int>(4 << seed * 2));
        Rows half;
        Rows rest;
        half.operations = rest.operations = rows.operations;
        for (size_t i = 0; i < rows.operation.size(); ++i) {
            Rows& part = i % 2 == 0 ? half : rest;
            part.add(rows.operation[i], rows.start_ns[i], rows.duration_ns[i],
                     rows.is_error[i] != 0, rows.weight[i]);
            part.bytes.push_back(rows.bytes[i]);
        }
        for (const uint32_t step_s : {kShortStepS, kMinuteStepS, kHourStepS}) {
            const RollupSection whole = rows.section(step_s);
            CHECK((counts_of(again(whole)) == counts_of(whole)));
            CHECK((shown(again_as_cells(whole)) == shown(whole)));
            CHECK((encode_section(whole) == encode_rollup(rows.view(), step_s)));
            const RollupSection a = half.section(kShortStepS);
            const RollupSection b = rest.section(kShortStepS);
            CHECK((shown(sum_of({&a, &b}, step_s)) == shown(whole)));
        }
    }
    CHECK(encode_series(RollupSum(kMinuteStepS).finish()).empty());
}

TEST_CASE("buckets that are merged hold the same spans, and merge again to the same") {
    const RollupSection fine = random_rows(3, 5000).section();
    const RollupSection coarse = sum_of({&fine}, kHourStepS, {2, 1});
    CHECK((counts_of(again(coarse)) == counts_of(coarse)));
    const RollupSection read = again(coarse);
    CHECK(read.detail == DurationDetail{2, 1});
    CHECK((shown(sum_of({&read}, kHourStepS, {2, 1})) == shown(read)));
    CHECK((shown(again(read)) == shown(read)));
    CHECK(read.buckets.size() * 3 < sum_of({&fine}, kHourStepS).buckets.size() * 2);
    // Each quarter of a power of two has what its four sixteenths had.
    std::vector<uint64_t> quarters(DurationHistogram::kBuckets);
    for (const auto& [bucket, spans] : fine.buckets)
        quarters[bucket / 4] += spans;
    for (const auto& [bucket, spans] : read.buckets)
        quarters[bucket / 4] -= spans;
    CHECK(std::all_of(quarters.begin(), quarters.end(), [](uint64_t n) { return n == 0; }));
    // What is read of it lies in the middle of what was merged.
    for (const auto& [bucket, spans] : read.buckets)
        CHECK(bucket % 4 == 2);
}

TEST_CASE("durations that are known of several steps together are shared out, and none is lost") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        SeededRandom random(seed);
        Rows rows;
        rows.operations = {{"cart", "a", otlp::SpanKind::kServer},
                           {"front", "c", otlp::SpanKind::kClient}};
        for (uint64_t i = 0; i < 3000; ++i)
            rows.add(static_cast<uint32_t>(random.below(2)), random.below(72) * kHour,
                     random.next() >> (30 + random.below(30)), random.below(5) == 0);
        const RollupSection fine = rows.section(kHourStepS);
        const RollupSection read = again(sum_of({&fine}, kHourStepS, {2, 24}));
        // Each hour has its spans and errors, and as many durations.
        REQUIRE(read.cells.size() == fine.cells.size());
        std::map<std::tuple<uint32_t, uint32_t, uint32_t>, int64_t> days;
        for (size_t i = 0; i < read.cells.size(); ++i) {
            const RollupCell& cell = read.cells[i];
            CHECK(cell.step == fine.cells[i].step);
            CHECK(cell.count == fine.cells[i].count);
            CHECK(cell.errors == fine.cells[i].errors);
            uint64_t spans = 0;
            for (uint32_t at = 0; at < cell.buckets; ++at) {
                const auto& [bucket, count] = read.buckets[cell.first_bucket + at];
                days[{cell.operation, cell.step / 24, bucket / 4}] += count;
                spans += count;
            }
            CHECK(spans == cell.count);
            for (uint32_t at = 0; at < fine.cells[i].buckets; ++at) {
                const auto& [bucket, count] = fine.buckets[fine.cells[i].first_bucket + at];
                days[{cell.operation, cell.step / 24, bucket / 4}] -= count;
            }
        }
        // Each day the durations that it had.
        for (const auto& [key, difference] : days)
            CHECK(difference == 0);
        CHECK((shown(again(sum_of({&read}, kHourStepS, {2, 24}))) == shown(read)));
    }
}

TEST_CASE("operations that are not by status keep how many failed, in either form") {
    RollupSum sum(kShortStepS);
    DurationHistogram durations;
    durations.add(3, 2);
    durations.add(90, 5);
    sum.add("cart", "mail", otlp::SpanKind::kServer, kMinute, 3, 9, durations);
    sum.add("cart", "mail", otlp::SpanKind::kServer, 2 * kMinute, 0, 7, durations);
    const RollupSection section = sum.finish();
    CHECK((shown(again(section)) == shown(section)));
    CHECK((shown(again_as_cells(section)) == shown(section)));
    CHECK(again_as_cells(section).cells[0].errors == 3);
}

TEST_CASE("what comes hour by hour alike takes few bits") {
    Rows rows;
    rows.operations = {{"cart", "GET /cart/{id}", otlp::SpanKind::kServer}};
    SeededRandom random(5);
    constexpr uint64_t kHours = 240;
    constexpr uint64_t kSpans = 500;
    for (uint64_t i = 0; i < kHours * kSpans; ++i) {
        double exponent = 20;
        for (int k = 0; k < 4; ++k)
            exponent += static_cast<double>(random.below(1000)) / 500.0;
        rows.add(0, i / kSpans * kHour, static_cast<uint64_t>(std::exp2(exponent)));
    }
    const RollupSection fine = rows.section(kHourStepS);
    CHECK(encode_series(fine).size() < kHours * 45);
    CHECK(encode_series(sum_of({&fine}, kHourStepS, {2, 1})).size() < kHours * 16);
    CHECK(encode_series(sum_of({&fine}, kHourStepS, {2, 24})).size() < kHours * 3);
}

TEST_CASE("weights of senders that sample alike take nothing more, and sums of them come back") {
    Rows rows;
    rows.operations = {{"cart", "a", otlp::SpanKind::kServer}};
    for (uint64_t i = 0; i < 1000; ++i)
        rows.add(0, i / 10 * kMinute, 1000, false, 8);
    Rows unsampled = rows;
    unsampled.weight.assign(1000, 1);
    const RollupSection section = rows.section();
    CHECK(encode_series(section).size() <= encode_series(unsampled.section()).size() + 6);
    for (const RollupCell& cell : again(section).cells)
        CHECK(cell.weighted == 80);
    // Any other sum is known to a ten-millionth.
    RollupSection odd = section;
    odd.cells[7].weighted = 12.3456789;
    CHECK(again(odd).cells[7].weighted == doctest::Approx(12.3456789).epsilon(1e-7));
    CHECK(again(odd).cells[8].weighted == 80);
}

TEST_CASE(
    "damaged series are an error or numbers within their bounds, whatever is hit or missing") {
    const std::string bytes = encode_series(random_rows(9, 100).section());
    for (size_t size = 1; size < bytes.size(); ++size)
        CHECK_FALSE(decode_rollup(std::string_view(bytes).substr(0, size)).has_value());
    const auto is_within = [](const RollupSection& section) {
        return std::all_of(section.cells.begin(), section.cells.end(),
                           [&](const RollupCell& cell) {
                               return cell.operation < section.operations.size() &&
                                      cell.first_bucket + cell.buckets <= section.buckets.size() &&
                                      cell.errors <= cell.count;
                           }) &&
               std::all_of(section.buckets.begin(), section.buckets.end(),
                           [](const auto& one) { return one.first < DurationHistogram::kBuckets; });
    };
    for (size_t at = 0; at < bytes.size(); ++at) {
        for (const int flip : {1, 0x40, 0xff}) {
            std::string damaged = bytes;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            const auto decoded = decode_rollup(damaged);
            if (decoded) CHECK(is_within(unpack(*decoded)));
        }
    }
}

TEST_CASE("operations of a sum are bounded, and nothing of them is lost") {
    RollupSum sum(kMinuteStepS);
    DurationHistogram one;
    one.add(3, 1);
    DurationHistogram two;
    two.add(3, 2);
    for (uint32_t i = 0; i < kSectionOperationsMax + 10; ++i)
        sum.add("s", std::to_string(i), otlp::SpanKind::kServer, i % 4 * kMinute, 0, 1,
                i < 20 ? one : two);
    const RollupSection section = again(sum.finish());
    CHECK(section.operations.size() == kSectionOperationsMax + 1);
    CHECK(section.services.front() == kOtherOperation);
    uint64_t spans = 0;
    uint64_t others = 0;
    for (const RollupCell& cell : section.cells) {
        spans += cell.count;
        if (section.operations[cell.operation].name == kOtherOperation) others += cell.count;
    }
    CHECK(spans == 2 * (kSectionOperationsMax + 10) - 20);
    CHECK(others == 10);
}

TEST_CASE("a cell without spans is refused, also in the oldest form") {
    const std::string operations("\x01\x01\x01s\x01\x00\x02\x01o", 9);
    const auto cell = [&](std::string_view count_and_buckets) {
        return operations + std::string("\x00\x02\x00", 3) + std::string(count_and_buckets);
    };
    const auto read = decode_rollup(cell("\x03\x01\x05\x03"));
    REQUIRE_MESSAGE(read.has_value(), (read ? "" : read.error().message));
    CHECK(unpack(*read).cells.front().count == 3);
    CHECK_FALSE(decode_rollup(cell(std::string_view("\x03\x00", 2))).has_value());
    CHECK_FALSE(decode_rollup(cell(std::string_view("\x00\x00", 2))).has_value());
    CHECK_FALSE(decode_rollup(cell("\x03\x01\x05\x02")).has_value());
}

TEST_CASE("cells of a sum are bounded as well") {
    constexpr uint64_t kCells = 1000;
    RollupSum sum(kShortStepS, {}, kCells);
    DurationHistogram one;
    one.add(3, 1);
    // Two operations that have half of the cells each and one more, the second is the rarer.
    for (uint64_t i = 0; i <= kCells / 2; ++i) {
        for (const char* name : {"often", "rare"})
            sum.add("s", name, otlp::SpanKind::kServer, i * kShortStepS * kRollupSecondNs, 0, 1,
                    one);
    }
    sum.add("s", "often", otlp::SpanKind::kServer, 0, 0, 1, one);
    const RollupSection section = sum.finish();
    REQUIRE(section.operations.size() == 2);
    CHECK(section.operations[0].name == kOtherOperation);
    CHECK(section.operations[1].name == "often");
    uint64_t spans = 0;
    for (const RollupCell& cell : section.cells)
        spans += cell.count;
    CHECK(spans == kCells + 3);
}
