#include "insight/edge_counts.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/memory_io.h"
#include "store/search_test_model.h"
#include "store/store_paths.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

constexpr uint64_t kMinute = kRollupMinuteNs;

std::shared_ptr<const Segment> segment_of(const std::vector<ModelSpan>& spans) {
    SegmentBuilder builder(
        {.row_group_rows = 64, .zstd_level = 0, .rollup = make_operation_rollup()});
    builder.add(batch_of(spans));
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = Segment::open(std::move(*image));
    REQUIRE(segment.has_value());
    return *segment;
}

ModelSpan call(uint64_t trace, uint64_t span, uint64_t parent, uint64_t start, std::string service,
               otlp::SpanKind kind, bool error = false) {
    ModelSpan one;
    one.trace = trace;
    one.span = span;
    one.parent = parent;
    one.start = start;
    one.duration = 1000 * span;
    one.service = std::move(service);
    one.name = "op";
    one.kind = kind;
    one.error = error;
    return one;
}

// A front that calls a cart, in each minute of an hour once; every third call fails.
std::vector<ModelSpan> hour_of_calls(uint64_t hour) {
    std::vector<ModelSpan> spans;
    for (uint64_t minute = 0; minute < 60; ++minute) {
        const uint64_t trace = hour * 60 + minute;
        const uint64_t start = trace * kMinute + 5;
        spans.push_back(call(trace, 1, 0, start, "front", otlp::SpanKind::kServer));
        spans.push_back(call(trace, 2, 1, start + 1, "front", otlp::SpanKind::kClient));
        spans.push_back(
            call(trace, 3, 2, start + 2, "cart", otlp::SpanKind::kServer, trace % 3 == 0));
    }
    return spans;
}

std::string shown(const insight::ServiceEdges& found) {
    std::string out;
    for (const auto* list : {&found.edges, &found.unpaired}) {
        for (const insight::ServiceEdge& edge : *list) {
            const WindowCounts server = edge.as_server.window(0, UINT64_MAX / 2, 0, true);
            const WindowCounts client = edge.as_client.window(0, UINT64_MAX / 2, 0, true);
            out += fmt::format("{}>{} {} {:.0f},{:.0f} {:.9f} {:.9f}\n", edge.client, edge.server,
                               edge.connection_type, server.spans, server.errors, server.duration_s,
                               client.duration_s);
        }
    }
    return out;
}

double bytes_of(const PackedRollup& section) {
    double bytes = 0;
    for (const RollupCell& cell : unpack(section).cells)
        bytes += static_cast<double>(cell.bytes);
    return bytes;
}

// Counted as the store does it before the spans go.
struct Files {
    MemoryIo io;
    uint64_t next = 1;
    CountedParts parts;

    void add(const std::string& counts) {
        CountsFile file{next++, "default", 0, CountsDetail::kShort, 0, UINT64_MAX, 0};
        const std::string path = beside_path(kCounts, file.tenant, {file.hour, file.id});
        io.write_file(path, encode_counts(file, counts));
        parts.files.push_back(std::make_shared<const StoredCounts>(file, io));
    }
};

}  // namespace

TEST_CASE("edges and dependencies of spans that are gone are as they were") {
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> old = {segment_of(hour_of_calls(10))};
    const std::vector<std::shared_ptr<const Segment>> fresh = {segment_of(hour_of_calls(11))};
    RollupCache cache;
    CountedParts all;
    all.segments = {old[0], fresh[0]};
    const auto edges = insight::find_all_service_edges(all, {}, cache);
    const auto calls = insight::find_all_dependencies(all, {}, cache);
    REQUIRE(edges.has_value());
    REQUIRE(calls.has_value());
    REQUIRE(calls->edges.size() == 1);
    CHECK(calls->edges[0].calls == 120);
    CHECK(calls->edges[0].errors == 40);

    Files files;
    const auto counts = counting.count(old, fresh);
    REQUIRE(counts.has_value());
    files.add(*counts);
    files.parts.segments = fresh;
    const auto from_file = insight::find_all_service_edges(files.parts, {}, cache);
    REQUIRE(from_file.has_value());
    CHECK(shown(*from_file) == shown(*edges));
    const auto calls_from_file = insight::find_all_dependencies(files.parts, {}, cache);
    REQUIRE(calls_from_file.has_value());
    REQUIRE(calls_from_file->edges.size() == 1);
    CHECK(calls_from_file->edges[0].calls == 120);
    CHECK(calls_from_file->edges[0].errors == 40);

    // Minutes of the range alone.
    const TimeRange ten{610 * kMinute, 620 * kMinute};
    const auto some = insight::find_all_dependencies(files.parts, ten, cache);
    REQUIRE(some.has_value());
    REQUIRE(some->edges.size() == 1);
    CHECK(some->edges[0].calls == 10);
}

TEST_CASE("a parent that lies in another hour makes an edge all the same, counted once") {
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> first = {
        segment_of({call(1, 1, 0, 60 * kMinute - 5, "front", otlp::SpanKind::kServer),
                    call(1, 2, 1, 60 * kMinute - 4, "front", otlp::SpanKind::kClient)})};
    const std::vector<std::shared_ptr<const Segment>> second = {
        segment_of({call(1, 3, 2, 60 * kMinute + 1, "cart", otlp::SpanKind::kServer)})};
    RollupCache cache;
    Files files;
    const auto one = counting.count(first, second);
    const auto two = counting.count(second, first);
    REQUIRE(one.has_value());
    REQUIRE(two.has_value());
    files.add(*one);
    files.parts.segments = second;
    files.parts.others = first;  // what was kept of the first
    CountedParts all;
    all.segments = {first[0], second[0]};
    const auto edges = insight::find_all_service_edges(all, {}, cache);
    REQUIRE(edges.has_value());
    const auto half = insight::find_all_service_edges(files.parts, {}, cache);
    REQUIRE(half.has_value());
    CHECK(shown(*half) == shown(*edges));
    files.add(*two);
    files.parts.segments.clear();
    files.parts.others.clear();
    const auto none = insight::find_all_service_edges(files.parts, {}, cache);
    REQUIRE(none.has_value());
    CHECK(shown(*none) == shown(*edges));
}

TEST_CASE("hours of a day put together are the same numbers, by the hour") {
    const Counting counting = insight::make_span_counting();
    Files hours;
    std::vector<std::string> bodies;
    for (uint64_t hour = 0; hour < 3; ++hour) {
        const std::vector<std::shared_ptr<const Segment>> segments = {
            segment_of(hour_of_calls(24 + hour))};
        const auto counts = counting.count(segments, {});
        REQUIRE(counts.has_value());
        hours.add(*counts);
        bodies.push_back(*counts);
    }
    const std::vector<std::string_view> views(bodies.begin(), bodies.end());
    const auto day = counting.put_together(views, CountsDetail::kHours);
    REQUIRE(day.has_value());
    CHECK(day->size() < bodies[0].size());
    Files days;
    days.add(*day);
    RollupCache cache;
    const auto by_minute = insight::find_all_service_edges(hours.parts, {}, cache);
    const auto by_hour = insight::find_all_service_edges(days.parts, {}, cache);
    REQUIRE(by_minute.has_value());
    REQUIRE(by_hour.has_value());
    CHECK(shown(*by_hour) == shown(*by_minute));
    for (const CountedParts* parts : {&hours.parts, &days.parts}) {
        OperationRollup sums({24 * 60 * kMinute, 27 * 60 * kMinute}, 60 * kMinute);
        sums.add(*parts, cache);
        CHECK(sums.reason().empty());
        const auto operations = sums.operations("cart");
        REQUIRE(operations.size() == 1);
        CHECK(operations[0].total.spans == 180);
        CHECK(operations[0].total.errors == 60);
        REQUIRE(operations[0].steps.size() == 3);
        CHECK(operations[0].steps[1].spans == 60);
        // Half an hour is half of what is in it.
        StepTable table({25 * 60 * kMinute, 26 * 60 * kMinute});
        table.add(*parts, cache);
        double spans = 0;
        for (const StepTable::Operation* one : table.operations())
            spans += one->window(25 * 60 * kMinute, (25 * 60 + 30) * kMinute, 0, false).spans;
        CHECK(spans == doctest::Approx(90));
    }
    // Put together once more, with an hour that came late.
    const std::string_view again[] = {*day, bodies[0]};
    const auto more = counting.put_together(again, CountsDetail::kHours);
    REQUIRE(more.has_value());
    const auto decoded = decode_span_counts(*more);
    REQUIRE(decoded.has_value());
    CHECK(decoded->operations.step_s == kHourStepS);
    uint64_t spans = 0;
    for (const RollupCell& cell : unpack(decoded->operations).cells)
        spans += cell.count;
    CHECK(spans == 4 * 180);
}

namespace {

std::string read_golden(const std::string& name) {
    std::ifstream golden(std::string(SPANLOOM_GOLDEN) + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(golden), {}};
}

}  // namespace

TEST_CASE("files of counts are written as they were, and read by others") {
    // SPANLOOM_GOLDEN_UPDATE=1 writes them anew; test/system/format_test.py reads them.
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> segments = {segment_of(hour_of_calls(10))};
    const auto hour = counting.count(segments, {});
    REQUIRE(hour.has_value());
    const SegmentInfo& info = segments[0]->info();
    const auto check = [&](const char* name, CountsDetail detail, std::string_view counts) {
        const bool is_of_hour = detail <= CountsDetail::kMinutes;
        const std::string bytes = encode_counts({1, "default", is_of_hour ? uint64_t{10} : 0,
                                                 detail, info.start_ns_min, info.end_ns_max, 0},
                                                counts);
        if (std::getenv("SPANLOOM_GOLDEN_UPDATE") != nullptr)
            std::ofstream(std::string(SPANLOOM_GOLDEN) + "/" + name, std::ios::binary) << bytes;
        CHECK(read_golden(name) == bytes);
    };
    check("hour.cnt", CountsDetail::kShort, *hour);
    const std::string_view hours[] = {*hour};
    const auto check_longer = [&](const char* name, CountsDetail detail) {
        const auto counts = counting.put_together(hours, detail);
        REQUIRE(counts.has_value());
        check(name, detail, *counts);
    };
    check_longer("minutes.cnt", CountsDetail::kMinutes);
    check_longer("day.cnt", CountsDetail::kHours);
    check_longer("month.cnt", CountsDetail::kMonth);
}

TEST_CASE("files of earlier versions say what they said, and nothing of sizes") {
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> segments = {segment_of(hour_of_calls(10))};
    RollupCache cache;
    CountedParts spans;
    spans.segments = segments;
    const auto edges = insight::find_all_service_edges(spans, {}, cache);
    REQUIRE(edges.has_value());
    for (const auto& [name, detail] : {std::pair("hour-v1.cnt", CountsDetail::kMinutes),
                                       std::pair("day-v1.cnt", CountsDetail::kHours),
                                       std::pair("hour-v2.cnt", CountsDetail::kShort),
                                       std::pair("minutes-v2.cnt", CountsDetail::kMinutes),
                                       std::pair("day-v2.cnt", CountsDetail::kHours)}) {
        CAPTURE(name);
        const auto reading = decode_counts(read_golden(name));
        REQUIRE(reading.has_value());
        CHECK(reading->file.detail == detail);
        Files files;
        files.add(reading->counts);
        const auto found = insight::find_all_service_edges(files.parts, {}, cache);
        REQUIRE(found.has_value());
        CHECK(shown(*found) == shown(*edges));
        OperationRollup sums({600 * kMinute, 660 * kMinute}, 60 * kMinute);
        sums.add(files.parts, cache);
        CHECK(sums.services()[0].total.spans == 60);
        // They go into what is put together now.
        const std::string_view bodies[] = {reading->counts};
        const auto month = counting.put_together(bodies, CountsDetail::kMonth);
        REQUIRE(month.has_value());
        const auto decoded = decode_span_counts(*month);
        REQUIRE(decoded.has_value());
        REQUIRE_FALSE(decoded->operations.empty());
        CHECK(unpack(decoded->operations).cells[0].step == 10);
        uint64_t counted = 0;
        for (const RollupCell& cell : unpack(decoded->operations).cells)
            counted += cell.count;
        CHECK(counted == 180);
        CHECK_FALSE(unpack(decoded->operations).has_sizes());
        // With what is counted now they have the sizes of this alone.
        const auto now = counting.count(segments, {});
        REQUIRE(now.has_value());
        const std::string_view both[] = {reading->counts, *now};
        const auto mixed = counting.put_together(both, CountsDetail::kHours);
        REQUIRE(mixed.has_value());
        const auto sums_of_both = decode_span_counts(*mixed);
        const auto sums_of_now = decode_span_counts(*now);
        REQUIRE(sums_of_both.has_value());
        REQUIRE(sums_of_now.has_value());
        const double bytes = bytes_of(sums_of_now->operations);
        CHECK(bytes > 180 * 50);
        CHECK(bytes_of(sums_of_both->operations) == doctest::Approx(bytes).epsilon(0.033));
    }
}

TEST_CASE("ten seconds are told apart, of spans and of what is counted of them") {
    // One call in each ten seconds, so 6 a minute; of the second minute none in its first half.
    std::vector<ModelSpan> spans;
    for (uint64_t i = 0; i < 12; ++i) {
        if (i >= 6 && i < 9) continue;
        const uint64_t start = 600 * kMinute + i * 10 * kRollupSecondNs;
        spans.push_back(call(i, 1, 0, start, "front", otlp::SpanKind::kServer));
        spans.push_back(call(i, 2, 1, start + 1, "cart", otlp::SpanKind::kServer, i == 11));
    }
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> segments = {segment_of(spans)};
    const auto counts = counting.count(segments, {});
    REQUIRE(counts.has_value());
    Files aged;
    aged.add(*counts);
    CountedParts fresh;
    fresh.segments = segments;
    RollupCache cache;
    const uint64_t start = 600 * kMinute;
    const uint64_t later = start + 100 * kMinute;
    for (const CountedParts* parts : {&fresh, &aged.parts}) {
        StepTable table({start, later}, kShortStepS);
        table.add(*parts, cache);
        const auto operations = table.operations();
        REQUIRE(operations.size() == 2);
        REQUIRE(operations[0]->service == "cart");
        const auto spans_in = [&](uint64_t from_s, uint64_t to_s) {
            return operations[0]
                ->window(start + from_s * kRollupSecondNs, start + to_s * kRollupSecondNs, later,
                         false)
                .spans;
        };
        CHECK(spans_in(0, 10) == 1);
        CHECK(spans_in(20, 50) == 3);
        CHECK(spans_in(60, 90) == 0);
        CHECK(spans_in(90, 120) == 3);
        // By the minute these are spread evenly.
        StepTable minutes({start, later});
        minutes.add(*parts, cache);
        CHECK(minutes.operations()[0]
                  ->window(start + kMinute, start + kMinute + kMinute / 2, later, false)
                  .spans == doctest::Approx(1.5));
        const auto edges = insight::find_all_service_edges(*parts, {}, cache, kShortStepS);
        REQUIRE(edges.has_value());
        REQUIRE(edges->edges.size() == 2);
        const auto& steps = edges->edges[0].as_server.steps.at(kShortStepS);
        CHECK(edges->edges[0].server == "cart");
        CHECK(steps.size() == 9);
        CHECK(steps.rbegin()->second.errors == 1);
    }
}

TEST_CASE("windows of whole hours need no shorter steps, which take more memory") {
    const Counting counting = insight::make_span_counting();
    const std::vector<std::shared_ptr<const Segment>> segments = {segment_of(hour_of_calls(10))};
    const auto counts = counting.count(segments, {});
    REQUIRE(counts.has_value());
    Files files;
    files.add(*counts);
    const TimeRange range{600 * kMinute, 660 * kMinute};
    const auto shown_of = [&](uint32_t step_s, RollupCache& cache) {
        StepTable table(range, step_s);
        table.add(files.parts, cache);
        CHECK(table.reason().empty());
        std::string out;
        for (const StepTable::Operation* one : table.operations()) {
            const auto window = one->window(range.start_ns, range.end_ns, UINT64_MAX, true);
            out += fmt::format("{} {} {} {:.9f} {}\n", one->service, window.spans, window.errors,
                               window.duration_s, window.buckets.size());
        }
        return out;
    };
    RollupCache by_minute;
    RollupCache by_hour;
    const std::string expected = shown_of(kMinuteStepS, by_minute);
    CHECK(shown_of(kHourStepS, by_hour) == expected);
    CHECK(by_hour.bytes() < by_minute.bytes());
    // Kept, though nobody could read it any more.
    REQUIRE(files.io.remove(beside_path(kCounts, "default", {0, 1})).has_value());
    CHECK(shown_of(kHourStepS, by_hour) == expected);
    // Made of the shorter steps that are there.
    CHECK(shown_of(10 * kMinuteStepS, by_minute) == expected);
}

TEST_CASE("a window has spans as they were received, or as many as they stand for") {
    DurationHistogram durations;
    durations.add(100, 4);
    RollupSum sum(kMinuteStepS);
    sum.add("cart", "op", otlp::SpanKind::kServer, 600 * kMinute, 1, 32, durations);
    Files files;
    files.add(encode_span_counts(sum.finish(), {}));
    RollupCache cache;
    StepTable table({600 * kMinute, 601 * kMinute});
    table.add(files.parts, cache);
    REQUIRE(table.operations().size() == 1);
    const auto window = [&](SpanWeights weights) {
        return table.operations()[0]->window(600 * kMinute, 601 * kMinute, 700 * kMinute, true,
                                             weights);
    };
    CHECK(window(SpanWeights::kRaw).spans == 4);
    CHECK(window(SpanWeights::kRaw).errors == 1);
    CHECK(window(SpanWeights::kAdjusted).spans == doctest::Approx(32));
    CHECK(window(SpanWeights::kAdjusted).errors == doctest::Approx(8));
    CHECK(window(SpanWeights::kAdjusted).buckets ==
          std::vector<std::pair<uint32_t, double>>{{100, 32}});
}

TEST_CASE("counts that are damaged are an error") {
    const std::vector<std::shared_ptr<const Segment>> segments = {segment_of(hour_of_calls(1))};
    const auto counts = insight::make_span_counting().count(segments, {});
    REQUIRE(counts.has_value());
    for (size_t size = 1; size < counts->size(); ++size)
        CHECK_FALSE(decode_span_counts(std::string_view(*counts).substr(0, size)).has_value());
    CHECK(decode_span_counts("").has_value());
    std::string more = *counts + "x";
    CHECK_FALSE(decode_span_counts(more).has_value());
    CHECK(decode_span_counts("\x09whatever").error().code == ErrorCode::kUnsupported);
    CHECK(insight::make_span_counting().count({}, {})->empty());
}
