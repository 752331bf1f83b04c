#include "store/lateness.h"

#include <doctest/doctest.h>

#include "store/search_test_model.h"

namespace spanloom::store {
namespace {

constexpr uint64_t kS = 1'000'000'000;
constexpr uint64_t kNoon = 500'000 * kS;

std::shared_ptr<const Segment> segment_of(std::vector<Batch> batches) {
    SegmentBuilder builder(SegmentOptions{});
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = Segment::open(std::move(*image));
    REQUIRE(segment.has_value());
    return std::move(*segment);
}

Batch arrived(const std::vector<ModelSpan>& spans, uint64_t arrival_ns) {
    Batch batch = batch_of(spans);
    batch.arrival_ns = arrival_ns;
    return batch;
}

}  // namespace

TEST_CASE("spans are late that came long after all that came before was over") {
    const std::vector<Arrived> parts = {{kNoon + 2 * kS, kNoon + 5 * kS, kNoon + kS},
                                        {kNoon + 600 * kS, kNoon + 610 * kS, kNoon + kS}};
    const Lateness lateness(parts);
    CHECK(lateness.of(0, kNoon + kS) == 0);
    CHECK(lateness.of(1, kNoon + kS) == 598 * kS);
    CHECK(lateness.of(1, kNoon) == 598 * kS);            // the rest was not over at its end
    CHECK(lateness.of(1, kNoon + 500 * kS) == 99 * kS);  // it ran on
    CHECK(lateness.of(1, kNoon + 590 * kS) == 0);        // and came when it ended
    CHECK(lateness.of(1, kNoon + 10'000 * kS) == 0);
}

TEST_CASE("no span is late where it is not sure that anything came before") {
    const std::vector<Arrived> merged = {{kNoon, kNoon + 3000 * kS, kNoon + kS},
                                         {kNoon + 2000 * kS, kNoon + 2600 * kS, kNoon + kS}};
    CHECK_FALSE(Lateness(merged).may_be_late(1));
    CHECK(Lateness(merged).of(1, kNoon) == 0);
    const std::vector<Arrived> alone = {{kNoon + 900 * kS, kNoon + 900 * kS, kNoon}};
    CHECK(Lateness(alone).of(0, kNoon) == 0);
}

TEST_CASE("clocks of senders that are behind ours make no span late") {
    // All of them are 300 s behind, and the second part came a second after the first.
    const std::vector<Arrived> parts = {{kNoon + 300 * kS, kNoon + 300 * kS, kNoon},
                                        {kNoon + 301 * kS, kNoon + 302 * kS, kNoon}};
    CHECK(Lateness(parts).of(1, kNoon) == 0);
    // One of them is: what came before it says what time it was.
    const std::vector<Arrived> one = {{kNoon + 300 * kS, kNoon + 300 * kS, kNoon + 299 * kS},
                                      {kNoon + 302 * kS, kNoon + 302 * kS, kNoon}};
    CHECK(Lateness(one).of(1, kNoon) == 0);
}

TEST_CASE("a trace tells which of its spans came late, and an equal span counts as it first came") {
    const ModelSpan root = {.trace = 1, .span = 1, .start = kNoon, .duration = kS, .service = "a"};
    const ModelSpan child = {
        .trace = 1, .span = 2, .parent = 1, .start = kNoon + 5, .duration = 10, .service = "b"};
    const auto early = segment_of({arrived({root}, kNoon + 2 * kS)});
    const auto late = segment_of({arrived({root, child}, kNoon + 62 * kS)});
    for (const auto& segments : {std::vector{early, late}, std::vector{late, early}}) {
        const auto trace = read_trace(segments, test_trace_id(1));
        REQUIRE(trace.has_value());
        REQUIRE(trace->spans == 2);
        CHECK(trace->late_ns == std::vector<uint64_t>{0, 60 * kS});
        // The table is what decoding gives.
        REQUIRE(trace->batch != nullptr);
        const auto decoded = otlp::decode(trace->traces_data);
        REQUIRE(decoded.has_value());
        REQUIRE(decoded->spans.size() == 2);
        for (size_t i = 0; i < 2; ++i) {
            const SpanRef& ref = trace->batch->spans[i];
            CHECK(ref.message.offset == decoded->spans[i].message.offset);
            CHECK(ref.message.size == decoded->spans[i].message.size);
            CHECK(ref.scope == decoded->spans[i].scope);
            CHECK(ref.start_ns == decoded->spans[i].start_ns);
            CHECK(ref.end_ns == decoded->spans[i].end_ns);
            CHECK(ref.span_id == decoded->spans[i].span_id);
        }
        CHECK(trace->batch->at(trace->batch->resources[1].message) ==
              decoded->at(decoded->resources[1].message));
    }
    const auto alone = read_trace(std::vector{early}, test_trace_id(1));
    REQUIRE(alone.has_value());
    CHECK(alone->late_ns.empty());
}

}  // namespace spanloom::store
