#include "store/lateness.h"

#include <doctest/doctest.h>

#include "store/engine_fixture.h"
#include "store/hiding_segment.h"
#include "store/search_test_model.h"
#include "store/string_file.h"

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

std::shared_ptr<const Segment> merged(std::vector<std::shared_ptr<const Segment>> inputs,
                                      const SegmentOptions& options = {}) {
    StringFile file;
    REQUIRE(merge_segments(inputs, options, file, {}).has_value());
    auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE(segment.has_value());
    REQUIRE((*segment)->verify());
    return std::move(*segment);
}

// By how much each late span of a trace is late, by the number of the span.
using LateSpans = std::map<uint64_t, uint64_t>;
LateSpans late_spans(const std::vector<std::shared_ptr<const Segment>>& segments, uint64_t trace) {
    const auto read = read_trace(segments, test_trace_id(trace));
    REQUIRE(read.has_value());
    LateSpans late;
    for (size_t i = 0; i < read->late_ns.size(); ++i) {
        if (read->late_ns[i] > 0)
            late[read->batch->spans[i].span_id.value() - 1] = read->late_ns[i];
    }
    return late;
}

// Traces of half an hour whose spans come in time or late, in any order.
struct Arrivals {
    static constexpr uint64_t kTraces = 30;
    std::vector<Batch> batches;

    explicit Arrivals(uint64_t seed) {
        SeededRandom random(seed);
        uint64_t number = 0;
        for (uint64_t trace = 0; trace < kTraces; ++trace) {
            const uint64_t start = kNoon + random.below(1800 * kS);
            const uint64_t skew = random.below(8) == 0 ? random.below(90 * kS) : 0;
            for (uint64_t i = 0; i < 2 + random.below(5); ++i) {
                const ModelSpan span = {.trace = trace,
                                        .span = number++,
                                        .start = start + random.below(200 * kS),
                                        .duration = random.below(10 * kS),
                                        .service = "a"};
                const bool is_late = random.below(4) == 0;
                const uint64_t took = random.below(is_late ? 900 * kS : 5 * kS);
                batches.push_back(arrived({span}, span.start + span.duration + skew + took));
            }
        }
        for (size_t i = batches.size(); i > 1; --i)
            std::swap(batches[i - 1], batches[random.below(i)]);
    }
};

}  // namespace

TEST_CASE("spans are late that came long after all that came before was over") {
    const std::vector<Arrived> parts = {{kNoon + 2 * kS, kNoon + 5 * kS, kNoon + kS},
                                        {kNoon + 600 * kS, kNoon + 610 * kS, kNoon + kS}};
    const Lateness lateness(parts);
    CHECK(lateness.of(0, kNoon + kS) == 0);
    CHECK(lateness.of(1, kNoon + kS) == 599 * kS);
    CHECK(lateness.of(1, kNoon) == 599 * kS);             // the rest was not over at its end
    CHECK(lateness.of(1, kNoon + 500 * kS) == 100 * kS);  // it ran on
    CHECK(lateness.of(1, kNoon + 590 * kS) == 0);         // and came when it ended
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
        CHECK(trace->late_ns == std::vector<uint64_t>{0, 61 * kS});
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
    CHECK(late_spans({merged({early, late})}, 1) == LateSpans{{2, 61 * kS}});
    const auto alone = read_trace(std::vector{early}, test_trace_id(1));
    REQUIRE(alone.has_value());
    CHECK(alone->late_ns.empty());
}

TEST_CASE("what is late is the same however segments are merged") {
    size_t late = 0;
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        const Arrivals arrivals(seed);
        std::vector<std::shared_ptr<const Segment>> segments;
        for (const Batch& batch : arrivals.batches)
            segments.push_back(segment_of({batch}));
        std::vector<LateSpans> expected;
        for (uint64_t trace = 0; trace < Arrivals::kTraces; ++trace) {
            expected.push_back(late_spans(segments, trace));
            late += expected.back().size();
        }
        const auto check = [&] {
            for (uint64_t trace = 0; trace < Arrivals::kTraces; ++trace)
                CHECK(late_spans(segments, trace) == expected[trace]);
        };
        SeededRandom random(seed);
        while (segments.size() > 1) {
            std::vector<std::shared_ptr<const Segment>> some;
            const size_t count = std::min<size_t>(segments.size(), 2 + random.below(9));
            for (size_t i = 0; i < count; ++i) {
                const size_t at = random.below(segments.size());
                some.push_back(std::move(segments[at]));
                segments.erase(segments.begin() + static_cast<ptrdiff_t>(at));
            }
            segments.push_back(merged(std::move(some)));
            check();
        }
        // All of them in one, as after a restart.
        segments = {segment_of(arrivals.batches)};
        check();
    }
    CHECK(late > 90);
}

TEST_CASE("a merge that leaves traces out, and a view that hides some, keep what is late") {
    const Arrivals arrivals(3);
    const auto whole = segment_of(arrivals.batches);
    const auto is_gone = [](const TraceId& id) { return trace_number(id) % 3 == 0; };
    SegmentOptions options;
    options.keeps_trace = [&](const TraceId& id) { return !is_gone(id); };
    const auto kept = merged({whole}, options);
    const auto view = hide_traces(whole, is_gone, {});
    REQUIRE(view.has_value());
    size_t late = 0;
    for (uint64_t trace = 0; trace < Arrivals::kTraces; ++trace) {
        if (trace % 3 == 0) continue;
        const LateSpans expected = late_spans({whole}, trace);
        late += expected.size();
        CHECK(late_spans({kept}, trace) == expected);
        CHECK(late_spans({*view}, trace) == expected);
    }
    CHECK(late > 3);
}

TEST_CASE("what comes in time costs no byte") {
    std::vector<std::shared_ptr<const Segment>> inputs;
    for (uint64_t i = 0; i < 20; ++i) {
        // A span of a minute, and one that ended in its middle and comes with the next.
        const uint64_t at = kNoon + i * 100 * kS;
        const ModelSpan root = {.trace = i, .span = 10 * i, .start = at, .duration = 60 * kS};
        const ModelSpan child = {
            .trace = i, .span = 10 * i + 1, .parent = 10 * i, .start = at, .duration = 40 * kS};
        inputs.push_back(segment_of({arrived({root, child}, at + 65 * kS)}));
    }
    const auto all = merged(inputs);
    const auto delays = all->delays();
    REQUIRE(delays.has_value());
    CHECK(*delays == nullptr);
}

TEST_CASE("an hour whose senders are all late costs a fraction of a byte for each span") {
    // 40 s late all of them, as with a sampler that waits: 20,000 traces of ten spans.
    std::vector<std::shared_ptr<const Segment>> inputs;
    std::vector<Batch> batches;
    SeededRandom random(1);
    for (uint64_t trace = 0; trace < 2'000; ++trace) {
        const uint64_t at = kNoon + trace * kS * 3600 / 2'000;
        std::vector<ModelSpan> spans;
        for (uint64_t i = 0; i < 10; ++i)
            spans.push_back({.trace = trace, .span = trace * 10 + i, .start = at + i});
        batches.push_back(arrived(spans, at + 40 * kS + random.below(3 * kS)));
    }
    SegmentBuilder builder(SegmentOptions{});
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    const auto segment = Segment::open(std::move(*image));
    REQUIRE(segment.has_value());
    const auto delays = (*segment)->delays();
    REQUIRE(delays.has_value());
    REQUIRE(*delays != nullptr);
    DelaysBuilder again;
    for (const DelayedRows& run : (*delays)->runs)
        for (uint32_t i = 0; i < run.rows; ++i)
            again.add(run.first_row + i, run.arrival_s);
    const uint64_t first_s = (*segment)->info().arrival_ns_min / kS;
    CHECK(again.block(first_s, 1).size() < 20'000 / 4);
}

TEST_CASE("delays are read as they were written, and damage to them is found") {
    DelaysBuilder builder;
    for (const uint32_t row : {3U, 4U, 5U, 9U})
        builder.add(row, 100);
    builder.add(10, 140);
    builder.add(11, 90);  // the first second
    const std::string body = builder.block(90, 1);
    const auto read = read_delays(body, 20, 90, 140);
    REQUIRE(read.has_value());
    CHECK(read->is_complete);
    CHECK(read->runs == std::vector<DelayedRows>{{3, 3, 100}, {9, 1, 100}, {10, 1, 140}});
    CHECK(read->arrival_s(5) == 100);
    CHECK(read->arrival_s(6) == 0);
    CHECK(read->arrival_s(11) == 0);
    CHECK_FALSE(read_delays(body, 10, 90, 140).has_value());  // a row that is not there
    CHECK_FALSE(read_delays(body, 20, 90, 139).has_value());  // after the last arrival
    for (size_t size = 0; size < body.size(); ++size)
        CHECK_FALSE(read_delays(std::string_view(body).substr(0, size), 20, 90, 140).has_value());
    CHECK(DelaysBuilder().block(90, 1).empty());
    builder.set_incomplete();
    const auto incomplete = read_delays(builder.block(90, 1), 20, 90, 140);
    REQUIRE(incomplete.has_value());
    CHECK_FALSE(incomplete->is_complete);
}

TEST_CASE("what is late survives flushes, merges, ageing, a kill and a backup") {
    StoreFixture f;
    f.options.merge_segments_min = 2;
    f.open();
    const auto send = [&](uint64_t trace, uint64_t span, uint64_t end_ns) {
        REQUIRE(f.send(arrived(
            {{.trace = trace, .span = span, .start = end_ns - kS, .duration = kS, .service = "a"}},
            f.clock.wall_ns())));
    };
    const uint64_t begin = f.clock.wall_ns();
    send(1, 1, begin);
    for (uint64_t i = 0; i < 5; ++i) {
        f.clock.advance(100 * kS);
        send(100 + i, 1000 + i, f.clock.wall_ns());
        if (i == 2) send(1, 2, begin - kS / 2);
        REQUIRE(f.store->flush());
    }
    const auto late = [](const Store& store) { return late_spans(store.snapshot("default"), 1); };
    const LateSpans expected = {{2, 300 * kS}};
    CHECK(late(*f.store) == expected);
    REQUIRE(f.store->settle());
    CHECK(f.store->snapshot("default").size() < 5);
    CHECK(late(*f.store) == expected);
    MemoryIo copy;
    REQUIRE(f.store->backup(copy, "there"));
    StoreFixture g;
    REQUIRE(restore_backup(copy, g.io, RestoreCheck::kVerify, {}));
    g.open();
    CHECK(late(*g.store) == expected);
    // What is only in the log when the power goes.
    f.clock.advance(100 * kS);
    send(1, 3, begin);
    f.clock.advance(100 * kS);
    send(1, 4, begin);
    f.kill();
    f.open();
    REQUIRE(f.store->seal());
    const LateSpans more = {{2, 300 * kS}, {3, 600 * kS}, {4, 700 * kS}};
    CHECK(late(*f.store) == more);
    Ageing ageing;
    ageing.recent_for_ms = 2 * 3'600'000;
    ageing.verdict = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        AgeingAnswer answer;
        answer.rules = {{"all", 0}};
        answer.rule_of.resize(question.traces.size(), 0);
        return answer;
    };
    f.store->set_ageing(std::move(ageing));
    f.clock.advance(4 * kHour);
    REQUIRE(f.store->flush());
    REQUIRE(f.store->settle());
    CHECK(f.store->recent("default").empty());
    CHECK(late(*f.store) == more);
}

}  // namespace spanloom::store
