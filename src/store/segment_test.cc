#include "store/segment.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "store/segment_test_spans.h"

namespace spanloom::store {
namespace {

std::vector<std::string> sorted(std::vector<std::string> texts) {
    std::sort(texts.begin(), texts.end());
    return texts;
}

Blob image_of(std::span<const Batch> batches, SegmentOptions options) {
    SegmentBuilder builder(std::move(options));
    for (const Batch& batch : batches)
        builder.add(batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    return *image;
}

void check_equal(const std::vector<std::string>& got, const std::vector<std::string>& wanted) {
    REQUIRE(got.size() == wanted.size());
    for (size_t i = 0; i < got.size(); ++i)
        REQUIRE(got[i] == wanted[i]);
}

}  // namespace

TEST_CASE("every field of odd spans comes back from a segment as it came in") {
    for (const int level : {0, 1}) {
        for (const uint32_t rows : {7U, 64U, 4096U}) {
            OddRequests requests(rows + 1000 * level);
            std::vector<Batch> batches;
            std::vector<std::string> wanted;
            for (int i = 0; i < 5; ++i) {
                batches.push_back(requests.next(120));
                for (auto& text : shown_spans(batches.back()))
                    wanted.push_back(text);
            }
            const Blob image = image_of(batches, {rows, level, {}});
            auto segment = Segment::open(image);
            REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
            CHECK((*segment)->info().spans == wanted.size());
            auto got = shown_spans(**segment);
            REQUIRE_MESSAGE(got.has_value(), (got ? "" : got.error().message));
            check_equal(sorted(*got), sorted(wanted));
            const auto verified = (*segment)->verify();
            CHECK_MESSAGE(verified.has_value(), (verified ? "" : verified.error().message));
        }
    }
}

TEST_CASE("an empty segment opens and holds nothing") {
    const Blob image = image_of({}, {});
    auto segment = Segment::open(image);
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    CHECK((*segment)->info().spans == 0);
    CHECK((*segment)->row_groups().empty());
    CHECK(!(*segment)->find(TraceId{{1}})->has_value());
    CHECK((*segment)->verify().has_value());
}

}  // namespace spanloom::store
