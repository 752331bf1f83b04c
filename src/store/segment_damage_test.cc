#include <algorithm>

#include <doctest/doctest.h>

#include "store/segment.h"
#include "store/segment_test_damage.h"
#include "store/segment_test_spans.h"

namespace spanloom::store {
namespace {

std::string small_image(int zstd_level) {
    OddRequests requests(77);
    SegmentOptions options{16, zstd_level, [](const RollupRows& rows) {
                               return "rows " + std::to_string(rows.operation.size());
                           }};
    SegmentBuilder builder(options);
    builder.add(requests.next(40));
    auto image = builder.finish();
    REQUIRE(image.has_value());
    return std::string(image->view());
}

Result<std::shared_ptr<const Segment>> opened(std::string_view image) {
    return Segment::open(Blob::copy_of(image));
}

}  // namespace

TEST_CASE("a flipped bit anywhere is found, and never gives other spans") {
    const std::string image = small_image(1);
    auto whole = opened(image);
    REQUIRE(whole.has_value());
    const auto spans = shown_spans(**whole);
    REQUIRE(spans.has_value());
    size_t unread = 0;
    for (size_t at = 0; at < image.size(); at += 23) {
        std::string damaged = image;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
        const auto segment = opened(damaged);
        if (!segment) continue;
        const auto verified = (*segment)->verify();
        REQUIRE_MESSAGE(!verified.has_value(), "byte ", at, " of ", image.size());
        CHECK(verified.error().code == ErrorCode::kDataLoss);
        const auto read = shown_spans(**segment);
        if (!read) {
            ++unread;
            continue;
        }
        REQUIRE(*read == *spans);
    }
    CHECK(unread > 0);
}

TEST_CASE("a file that ends early is refused") {
    const std::string image = small_image(1);
    for (size_t size = 0; size < image.size(); size += 11)
        REQUIRE(!opened(std::string_view(image).substr(0, size)).has_value());
}

TEST_CASE("two blocks that changed places are found") {
    const std::string image = small_image(0);
    auto whole = opened(image);
    REQUIRE(whole.has_value());
    // Two filter pages or blocks of equal size are swapped by moving the file's bytes by one block.
    std::string moved = image;
    std::swap_ranges(moved.begin() + 8, moved.begin() + 72, moved.begin() + 200);
    const auto segment = opened(moved);
    REQUIRE(segment.has_value());
    CHECK(!(*segment)->verify().has_value());
}

TEST_CASE("damage with right checksums is survived") {
    for (const int level : {0, 1}) {
        const std::string image = small_image(level);
        SeededRandom random(5);
        size_t refused = 0;
        for (int round = 0; round < 150; ++round) {
            std::string damaged = image;
            for (uint64_t edits = 1 + random.below(3); edits > 0; --edits)
                damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
            seal(damaged);
            const auto segment = opened(damaged);
            if (!segment) {
                ++refused;
                continue;
            }
            ask_everything(**segment);
        }
        CHECK(refused > 0);
    }
}

TEST_CASE("a rollup comes back") {
    const auto segment = opened(small_image(1));
    REQUIRE(segment.has_value());
    const auto rollup = (*segment)->rollup();
    REQUIRE(rollup.has_value());
    CHECK(rollup->view() == "rows 40");
}

}  // namespace spanloom::store
