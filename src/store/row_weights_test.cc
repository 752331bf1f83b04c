#include "store/row_weights.h"

#include <cstring>

#include <doctest/doctest.h>

#include "otlp/tracestate.h"
#include "otlp/view.h"
#include "store/hiding_segment.h"
#include "store/sampled_trace.h"
#include "store/scan.h"
#include "store/segment_rollup.h"
#include "store/string_file.h"
#include "store/test_spans.h"

// Weights by the thresholds of keep rules, through merging, hiding and counting.
namespace spanloom::store {
namespace {

// Trace n stands for 2^n traces.
uint64_t threshold_of(const TraceId& id) {
    return otlp::kThresholdEnd - (otlp::kThresholdEnd >> trace_number(id));
}

double sum_of(const RollupRows& rows) {
    double sum = 0;
    for (const double weight : rows.weight)
        sum += weight;
    return sum;
}

SegmentOptions counting() {
    SegmentOptions options;
    options.row_group_rows = 6;  // groups end inside of traces
    options.rollup = [](const RollupRows& rows) { return std::to_string(sum_of(rows)); };
    return options;
}

std::shared_ptr<const Segment> built(uint64_t first, uint64_t count) {
    SegmentBuilder builder(counting());
    builder.add(test_batch(first, count));
    return *Segment::open(*builder.finish());
}

std::shared_ptr<const Segment> merged(std::vector<std::shared_ptr<const Segment>> inputs,
                                      const SegmentOptions& options) {
    StringFile file;
    REQUIRE(merge_segments(inputs, options, file, {}).has_value());
    const auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE(segment.has_value());
    REQUIRE((*segment)->verify().has_value());
    return *segment;
}

double weighted_rows(const std::shared_ptr<const Segment>& segment) {
    AggregateRequest request;
    request.aggregates.emplace_back();
    const auto answer = aggregate({&segment, 1}, request);
    REQUIRE(answer.has_value());
    REQUIRE(answer->groups.size() == 1);
    return answer->groups.front().cells.front().weighted;
}

double weights_one_by_one(const std::shared_ptr<const Segment>& segment) {
    SegmentReader reader(segment);
    double sum = 0;
    for (uint32_t number = 0; number < segment->row_groups().size(); ++number) {
        const auto group = reader.group(number);
        const auto together = row_weights(reader, *group);
        REQUIRE(together.has_value());
        for (uint32_t row = 0; row < group->rows().rows; ++row) {
            const auto weight = row_weight(reader, *group, row);
            REQUIRE(weight.has_value());
            CHECK(*weight == (together->empty() ? 1 : (*together)[row]));
            sum += *weight;
        }
    }
    return sum;
}

void check_sum(const std::shared_ptr<const Segment>& segment, double sum) {
    CHECK(weighted_rows(segment) == sum);
    CHECK(weights_one_by_one(segment) == sum);
    CHECK(segment->rollup()->view() == std::to_string(sum));
}

}  // namespace

TEST_CASE("spans weigh what the threshold of their trace says, wherever they are counted") {
    const auto plain = built(0, 16);  // traces 0 to 3, four spans each
    CHECK(*plain->thresholds() == nullptr);
    check_sum(plain, 16);
    SegmentOptions ageing = counting();
    ageing.threshold_of = threshold_of;
    const auto aged = merged({plain}, ageing);
    REQUIRE(*aged->thresholds() != nullptr);
    check_sum(aged, 4 * (1 + 2 + 4 + 8));
    // A later merge carries them, and what was not chosen by a rule weighs one.
    const auto again = merged({aged, built(16, 4)}, counting());
    check_sum(again, 4 * (1 + 2 + 4 + 8 + 1));
    // Late spans have the threshold of their trace.
    const auto late = merged({aged, merged({built(4, 8)}, ageing)}, counting());
    check_sum(late, 4 * (1 + 2 + 4 + 8));
    const auto hidden = hide_traces(
        again, [](const TraceId& id) { return trace_number(id) == 2; }, counting().rollup);
    REQUIRE(hidden.has_value());
    check_sum(*hidden, 4 * (1 + 2 + 8 + 1));
}

TEST_CASE("a sender's threshold and a rule's: the higher one counts, and none without measure") {
    const auto sampled = [](const std::string& state) {
        std::string bytes;
        otlp::WireWriter out(bytes);
        const size_t resource = out.begin(1);
        const size_t scope = out.begin(2);
        const size_t span = out.begin(2);
        out.bytes_field(1, test_trace_id(1).view());
        out.bytes_field(2, test_span_id(1).view());
        out.bytes_field(3, state);
        out.fixed64_field(7, 1'000);
        out.fixed64_field(8, 2'000);
        out.end(span);
        out.end(scope);
        out.end(resource);
        SegmentBuilder builder(counting());
        builder.add(*otlp::decode(Blob::copy_of(bytes)));
        return *Segment::open(*builder.finish());
    };
    const auto aged = [](std::shared_ptr<const Segment> segment, uint64_t threshold) {
        SegmentOptions options = counting();
        options.threshold_of = [=](const TraceId&) { return threshold; };
        return merged({std::move(segment)}, options);
    };
    const uint64_t half = otlp::kThresholdEnd / 2;
    check_sum(aged(sampled("ot=th:c"), half), 4);  // 1 in 4 before
    check_sum(aged(sampled("ot=th:4"), half), 2);
    check_sum(aged(sampled("ot=th:ffffffffffffff"), 0), otlp::kAdjustedCountMax);
    check_sum(aged(sampled("ot=th:123456789abcdef"), half), 2);  // 15 digits mean nothing
    check_sum(aged(sampled("x=y"), otlp::kThresholdEnd - 1), otlp::kAdjustedCountMax);
}

TEST_CASE("a trace that was chosen by chance says so to whoever gets it, unless it is stricter") {
    const auto plain = built(0, 16);
    SegmentOptions ageing = counting();
    ageing.threshold_of = threshold_of;
    const std::vector<std::shared_ptr<const Segment>> segments = {merged({plain}, ageing),
                                                                  built(4, 4)};
    for (uint64_t number = 0; number < 4; ++number) {
        CAPTURE(number);
        const auto whole = read_trace(segments, test_trace_id(number));
        const auto sampled = read_sampled_trace(segments, test_trace_id(number));
        REQUIRE(sampled.has_value());
        CHECK(sampled->spans == 4);  // sent again and stored apart, they are there once
        const auto batch = otlp::decode(sampled->traces_data);
        REQUIRE(batch.has_value());
        REQUIRE(batch->spans.size() == 4);
        for (const SpanRef& ref : batch->spans) {
            const auto span = otlp::SpanView::parse(batch->at(ref.message));
            CHECK(span.name == "call");
            CHECK(span.kind == otlp::SpanKind::kServer);
            CHECK(otlp::adjusted_count(span.trace_state).value == 1ULL << number);
        }
        if (number == 0) CHECK(sampled->traces_data.view() == whole->traces_data.view());
    }
    CHECK(read_sampled_trace(segments, test_trace_id(9)).error().code == ErrorCode::kNotFound);
}

}  // namespace spanloom::store
