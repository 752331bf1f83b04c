#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "base/random.h"
#include "store/search_test_model.h"
#include "store/segment.h"
#include "store/segment_test_spans.h"
#include "store/string_file.h"
#include "store/test_spans.h"

namespace spanloom::store {
namespace {

std::shared_ptr<const Segment> segment_of(std::span<const Batch> batches, SegmentOptions options) {
    SegmentBuilder builder(std::move(options));
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto segment = Segment::open(*image);
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    return *segment;
}

std::shared_ptr<const Segment> merged(std::span<const std::shared_ptr<const Segment>> inputs,
                                      const SegmentOptions& options) {
    StringFile file;
    auto info = merge_segments(inputs, options, file, [] { return false; });
    REQUIRE_MESSAGE(info.has_value(), (info ? "" : info.error().message));
    auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    CHECK((*segment)->info().spans == info->spans);
    CHECK((*segment)->info().bytes == info->bytes);
    const auto verified = (*segment)->verify();
    CHECK_MESSAGE(verified.has_value(), (verified ? "" : verified.error().message));
    return *segment;
}

void check_same_spans(const Segment& segment, const std::set<std::string>& wanted) {
    auto got = shown_spans(segment);
    REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
    std::sort(got->begin(), got->end());
    REQUIRE(got->size() == wanted.size());
    size_t i = 0;
    for (const std::string& text : wanted)
        REQUIRE((*got)[i++] == text);
}

}  // namespace

#if !defined(__SANITIZE_THREAD__)  // one thread, thousands of columns: minutes under this sanitizer
TEST_CASE("a merge keeps every span once, whatever the inputs share") {
    for (const uint32_t rows : {5U, 64U, 4096U}) {
        OddRequests requests(rows);
        std::vector<Batch> batches;
        std::set<std::string> wanted;
        for (int i = 0; i < 12; ++i) {
            batches.push_back(requests.next(rows < 64 ? 5 : 40));  // each group costs its columns
            for (auto& text : shown_spans(batches.back()))
                wanted.insert(text);
        }
        std::vector<std::shared_ptr<const Segment>> inputs;
        for (size_t i = 0; i + 2 < batches.size(); i += 2)  // neighbours share two batches
            inputs.push_back(segment_of(std::span(batches).subspan(i, 4), {rows, 0, {}}));
        SegmentOptions with_models{rows * 2, 1, {}};
        with_models.has_models = true;
        const auto once = merged(inputs, with_models);
        check_same_spans(*once, wanted);
        // What was merged merges again, with itself and with an input.
        const std::vector<std::shared_ptr<const Segment>> again = {once, inputs[1], once};
        check_same_spans(*merged(again, {rows, 1, {}}), wanted);
    }
}
#endif

TEST_CASE("parents, scopes and names by models are smaller, and the same") {
    // More rows than models are learnt from.
    SeededRandom random(4);
    std::vector<ModelSpan> spans;
    for (uint64_t i = 0; i < 16'000; ++i) {
        const uint64_t place = i % 16;
        const std::string service = "service-" + std::to_string(random.below(4));
        spans.push_back({.trace = i / 16,
                         .span = i + 1,
                         .parent = place == 0 ? 0 : i - random.below(place),
                         .start = 1'000'000 + i * 10,
                         .duration = 100,
                         .service = service,
                         .name = service + " " + std::to_string(random.below(6))});
    }
    const std::vector<Batch> batches = {batch_of(spans)};
    const std::vector<std::shared_ptr<const Segment>> inputs = {segment_of(batches, {})};
    SegmentOptions with_models;
    with_models.has_models = true;
    const auto modelled = merged(inputs, with_models);
    const auto plain = merged(inputs, {});
    CHECK(modelled->info().bytes < plain->info().bytes);
    const auto wanted = shown_spans(*plain);
    REQUIRE(wanted.has_value());
    check_same_spans(*modelled, {wanted->begin(), wanted->end()});
    // And what has models merges again.
    const std::vector<std::shared_ptr<const Segment>> again = {modelled};
    check_same_spans(*merged(again, {}), {wanted->begin(), wanted->end()});
}

TEST_CASE("fragments of a merge are joined, ordered newest first and found by their trace") {
    OddRequests requests(7);
    std::vector<Batch> batches;
    std::set<std::string> traces;
    std::vector<std::shared_ptr<const Segment>> inputs;
    for (int i = 0; i < 6; ++i) {
        batches.push_back(requests.next(80));
        for (const SpanRef& ref : batches.back().spans)
            traces.insert(ref.trace_id.hex());
        inputs.push_back(segment_of(std::span(&batches.back(), 1), {}));
    }
    const auto segment = merged(inputs, {});
    REQUIRE(segment->fragment_count() == traces.size());
    uint64_t before = UINT64_MAX;
    for (uint32_t i = 0; i < segment->fragment_count(); ++i) {
        const auto fragment = segment->fragment(i);
        REQUIRE(fragment.has_value());
        CHECK(fragment->start_ns <= before);
        before = fragment->start_ns;
        const auto found = segment->find(fragment->trace_id);
        REQUIRE(found.has_value());
        REQUIRE(found->has_value());
        CHECK((*found)->first_row == fragment->first_row);
        CHECK((*found)->rows == fragment->rows);
    }
    CHECK(!segment->find(TraceId{{1, 2, 3}})->has_value());
}

TEST_CASE("row groups of large texts have fewer rows, so that reading one takes little memory") {
    constexpr uint64_t kTraces = 300;
    std::vector<Batch> batches;
    for (uint64_t i = 0; i < kTraces; ++i) {
        std::string name = std::to_string(i);
        name.resize(64U << 10, static_cast<char>('a' + i % 26));
        batches.push_back(test_batch(i * 4, 1, 1'000'000'000'000'000, name));
    }
    const std::vector<std::shared_ptr<const Segment>> inputs = {segment_of(batches, {})};
    const auto segment = merged(inputs, {});
    CHECK(segment->info().spans == kTraces);
    // 8 MiB of 64 KiB each, and the row that goes beyond.
    REQUIRE(segment->row_groups().size() == 3);
    CHECK(segment->row_groups()[0].rows == 129);
    CHECK(segment->row_groups()[1].rows == 129);
    CHECK(segment->row_groups()[2].rows == 42);
}

TEST_CASE("a merge that is told to stop ends as cancelled") {
    OddRequests requests(9);
    const std::vector<Batch> batches = {requests.next(50)};
    const std::vector<std::shared_ptr<const Segment>> inputs = {segment_of(batches, {})};
    StringFile file;
    const auto info = merge_segments(inputs, {}, file, [] { return true; });
    REQUIRE(!info.has_value());
    CHECK(info.error().code == ErrorCode::kCancelled);
}

TEST_CASE("merging nothing gives an empty segment") {
    const auto segment = merged({}, {});
    CHECK(segment->info().spans == 0);
    CHECK(segment->fragment_count() == 0);
}

}  // namespace spanloom::store
