#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <tuple>

#include <doctest/doctest.h>

#include "base/random.h"
#include "rollup/operation_rollup.h"
#include "rollup/rollup_series.h"
#include "rollup/rollup_test_rows.h"
#include "rollup/step_table.h"
#include "store/hiding_segment.h"
#include "store/search_test_model.h"
#include "store/string_file.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

constexpr uint64_t kMinute = kRollupMinuteNs;

SegmentOptions counting() {
    SegmentOptions options;
    options.row_group_rows = 16;
    options.rollup = make_operation_rollup();
    return options;
}

std::shared_ptr<const Segment> segment_of(const std::vector<ModelSpan>& spans) {
    SegmentBuilder builder(counting());
    builder.add(batch_of(spans));
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = Segment::open(std::move(*image));
    REQUIRE(segment.has_value());
    return std::move(*segment);
}

std::shared_ptr<const Segment> merged(const std::vector<std::shared_ptr<const Segment>>& inputs,
                                      const SegmentOptions& options = counting()) {
    StringFile file;
    REQUIRE(merge_segments(inputs, options, file, {}).has_value());
    auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE(segment.has_value());
    return std::move(*segment);
}

// Bytes by operation, status and step; as spans' messages have them.
using Bytes = std::map<std::tuple<std::string, bool, uint64_t>, uint64_t>;
Bytes bytes_of(const std::vector<ModelSpan>& spans, uint32_t step_s = kMinuteStepS) {
    Bytes bytes;
    for (const ModelSpan& span : spans) {
        const Batch batch = batch_of({span});
        bytes[{span.name, span.error, span.start / (step_s * kRollupSecondNs)}] +=
            batch.spans[0].message.size;
    }
    return bytes;
}

Bytes bytes_of(const RollupSection& section) {
    Bytes bytes;
    for (const RollupCell& cell : section.cells) {
        const RollupOperation& one = section.operations[cell.operation];
        bytes[{one.name, one.is_error, cell.step}] += cell.bytes;
    }
    return bytes;
}

RollupSection section_of(const Segment& segment, uint32_t step_s = kMinuteStepS) {
    const auto bytes = rollup_of(segment, step_s);
    REQUIRE(bytes.has_value());
    auto section = decode_rollup(*bytes, step_s);
    REQUIRE(section.has_value());
    return unpack(*section);
}

// Traces of four spans each, of sizes that differ.
std::vector<ModelSpan> some_spans(uint64_t first_trace, uint64_t traces) {
    std::vector<ModelSpan> spans;
    SeededRandom random(first_trace + 1);
    for (uint64_t i = 0; i < traces * 4; ++i) {
        ModelSpan span;
        span.trace = first_trace + i / 4;
        span.span = 1 + first_trace * 4 + i;
        span.start = 60 * kMinute + random.below(3 * kMinute);
        span.duration = random.below(5000);
        span.service = i % 2 == 0 ? "cart" : "front";
        span.name = "op" + std::to_string(i % 3);
        span.user = std::string(random.below(90), 'u');
        span.error = random.below(4) == 0;
        spans.push_back(std::move(span));
    }
    return spans;
}

std::vector<ModelSpan> joined(std::vector<ModelSpan> one, const std::vector<ModelSpan>& other) {
    one.insert(one.end(), other.begin(), other.end());
    return one;
}

uint64_t sum_of(const Bytes& bytes) {
    uint64_t sum = 0;
    for (const auto& [key, own] : bytes)
        sum += own;
    return sum;
}

}  // namespace

TEST_CASE("a segment knows how long spans were, and what segments are merged to knows it") {
    const auto a = some_spans(0, 20);
    const auto b = some_spans(20, 9);
    const auto first = segment_of(a);
    const auto second = segment_of(b);
    CHECK(bytes_of(section_of(*first)) == bytes_of(a));
    const auto both = merged({first, second});
    CHECK(bytes_of(section_of(*both)) == bytes_of(joined(a, b)));
    CHECK(bytes_of(section_of(*merged({both, segment_of(some_spans(40, 5))}))) ==
          bytes_of(joined(joined(a, b), some_spans(40, 5))));
}

TEST_CASE("what a merge leaves out takes the share of its cell along") {
    const auto a = some_spans(0, 20);
    // All of the second segment came before.
    const auto resent = merged({segment_of(a), segment_of({a.begin(), a.begin() + 40})});
    REQUIRE(resent->info().spans == a.size());
    const Bytes exact = bytes_of(a);
    const Bytes found = bytes_of(section_of(*resent));
    REQUIRE(found.size() == exact.size());
    for (const auto& [key, bytes] : exact)
        CHECK(static_cast<double>(found.at(key)) ==
              doctest::Approx(static_cast<double>(bytes)).epsilon(0.3));
    CHECK(static_cast<double>(sum_of(found)) ==
          doctest::Approx(static_cast<double>(sum_of(exact))).epsilon(0.1));
    // The same where traces are left out, hidden or not chosen.
    const auto is_hidden = [](const TraceId& id) { return id.bytes[15] % 2 == 0; };
    SegmentOptions some = counting();
    some.keeps_trace = [&](const TraceId& id) { return !is_hidden(id); };
    const auto chosen = merged({segment_of(a)}, some);
    const auto hiding = hide_traces(segment_of(a), is_hidden, make_operation_rollup());
    REQUIRE(hiding.has_value());
    REQUIRE(chosen->info().spans < a.size());
    REQUIRE((*hiding)->info().spans == chosen->info().spans);
    CHECK(bytes_of(section_of(*chosen)) == bytes_of(section_of(**hiding)));
    const double share = static_cast<double>(chosen->info().spans) / static_cast<double>(a.size());
    CHECK(static_cast<double>(sum_of(bytes_of(section_of(*chosen)))) ==
          doctest::Approx(share * static_cast<double>(sum_of(exact))).epsilon(0.2));
}

TEST_CASE("steps of ten seconds share what their minute has") {
    const auto spans = some_spans(0, 60);
    const auto segment = segment_of(spans);
    const Bytes shares = bytes_of(section_of(*segment, kShortStepS));
    CHECK(shares.size() == bytes_of(spans, kShortStepS).size());
    Bytes minutes;
    for (const auto& [key, bytes] : shares) {
        CHECK(bytes > 0);
        const auto& [name, is_error, step] = key;
        minutes[{name, is_error, step * kShortStepS / kMinuteStepS}] += bytes;
    }
    for (const auto& [key, bytes] : bytes_of(spans))
        CHECK(std::abs(static_cast<double>(minutes.at(key)) - static_cast<double>(bytes)) <= 6);
}

TEST_CASE("sections that older versions wrote have no sizes, and take none from others") {
    Rows rows;
    rows.operations = {{"cart", "a", otlp::SpanKind::kServer}};
    for (uint64_t i = 0; i < 10; ++i)
        rows.add(0, i, 1000);
    const std::string old = encode_rollup(rows.view());
    CHECK_FALSE(rows.section().has_sizes());
    rows.bytes.assign(10, 300);
    const std::string now = encode_rollup(rows.view());
    rows.bytes.clear();
    for (uint64_t i = 0; i < 10; ++i)
        rows.add(0, i, 1000);
    rows.counted = {Blob::copy_of(old), Blob::copy_of(now)};
    const RollupSection both = rows.section();
    REQUIRE(both.cells.size() == 1);
    CHECK(both.cells[0].count == 20);
    CHECK(both.cells[0].bytes == 3000);
    // What cannot be read says nothing.
    rows.counted = {Blob::copy_of("\x09"), Blob::copy_of(now)};
    CHECK(rows.section().cells[0].bytes == 3000 * 20 / 20);
}

TEST_CASE("sizes of operations that are told apart no more are those of the others") {
    Rows rows;
    std::vector<std::string> names;
    for (uint32_t i = 0; i < kSectionOperationsMax + 50; ++i)
        names.push_back("op" + std::to_string(i));
    const auto half_of = [&](uint32_t first) {
        Rows half;
        for (const std::string& name : names)
            half.operations.push_back({"s", name, otlp::SpanKind::kServer});
        for (uint32_t i = first; i < names.size(); i += 2) {
            half.add(i, 0, 1);
            half.bytes.push_back(100);
        }
        return half;
    };
    const Rows even = half_of(0);
    const Rows odd = half_of(1);
    rows.operations = even.operations;
    for (uint32_t i = 0; i < names.size(); ++i)
        rows.add(i, 0, 1);
    rows.counted = {Blob::copy_of(encode_rollup(even.view())),
                    Blob::copy_of(encode_rollup(odd.view()))};
    const RollupSection section = rows.section();
    CHECK(section.operations.size() == kSectionOperationsMax + 1);
    CHECK(sum_of(bytes_of(section)) == 100 * names.size());
}

TEST_CASE("sizes are kept for years within 3.2 %, of several steps together, in few bits") {
    SeededRandom random(4);
    Rows rows;
    rows.operations = {{"cart", "GET /cart/{id}", otlp::SpanKind::kServer},
                       {"cart", "send", otlp::SpanKind::kProducer}};
    constexpr uint64_t kHours = 240;
    for (uint64_t i = 0; i < kHours * 200; ++i) {
        rows.add(i % 2, i / 200 * 60 * kMinute, 1 << 20, random.below(9) == 0);
        rows.bytes.push_back(static_cast<uint32_t>(400 + i % 2 * 2000 + random.below(200)));
    }
    Rows without = rows;
    without.bytes.clear();
    const RollupSection fine = rows.section(kHourStepS);
    for (const DurationDetail detail : {DurationDetail(), DurationDetail{2, 24}}) {
        RollupSum sum(kHourStepS, detail);
        sum.add(pack(fine));
        const RollupSection summed = sum.finish();
        const std::string bytes = encode_series(summed);
        const auto read = decode_rollup(bytes, kHourStepS);
        REQUIRE(read.has_value());
        REQUIRE(read->cells() == fine.cells.size());
        const RollupSection cells = unpack(*read);
        std::map<std::pair<uint32_t, uint32_t>, std::pair<double, double>> together;
        for (size_t i = 0; i < fine.cells.size(); ++i) {
            auto& [exact, found] =
                together[{fine.cells[i].operation, fine.cells[i].step / detail.steps}];
            exact += static_cast<double>(fine.cells[i].bytes);
            found += static_cast<double>(cells.cells[i].bytes);
        }
        for (const auto& [key, sums] : together)
            CHECK(sums.second == doctest::Approx(sums.first).epsilon(0.033));
        // As it is read it is written again.
        RollupSum again(kHourStepS, detail);
        again.add(*read);
        CHECK(encode_series(again.finish()) == bytes);
        RollupSum plain(kHourStepS, detail);
        plain.add(pack(without.section(kHourStepS)));
        const size_t size = encode_series(plain.finish()).size();
        CHECK(bytes.size() > size);
        CHECK((bytes.size() - size) * 8 < together.size() * 2);
    }
}

TEST_CASE("windows have the bytes of their part, of failed spans, and weighted") {
    Rows rows;
    rows.operations = {{"cart", "a", otlp::SpanKind::kServer}};
    for (uint64_t i = 0; i < 8; ++i) {
        rows.add(0, 10 * kMinute + i, 1000, i < 2, 4);
        rows.bytes.push_back(i < 2 ? 500 : 100);
    }
    const RollupSection section = rows.section();
    StepTable::Operation operation;
    for (const RollupCell& cell : section.cells)
        operation.steps[kMinuteStepS][cell.step].add(cell, cell.errors > 0);
    const auto window = [&](uint64_t to_ns, SpanWeights weights) {
        return operation.window(0, to_ns, 0, false, weights);
    };
    CHECK(window(11 * kMinute, SpanWeights::kRaw).bytes == 1600);
    CHECK(window(11 * kMinute, SpanWeights::kRaw).errors_bytes == 1000);
    CHECK(window(11 * kMinute, SpanWeights::kAdjusted).bytes == 6400);
    CHECK(window(10 * kMinute + kMinute / 2, SpanWeights::kRaw).bytes == 800);
}
