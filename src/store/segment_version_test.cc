#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/hash.h"
#include "store/segment.h"
#include "store/segment_test_spans.h"
#include "store/string_file.h"

// test/golden/segment-v1.seg to -v5.seg were written by programs that knew no later
// version: 600 spans of bench/loadgen (seed 5), flushed.
namespace spanloom::store {
namespace {

std::string golden_segment(uint32_t version) {
    std::ifstream file(fmt::format("{}/segment-v{}.seg", SPANLOOM_GOLDEN, version),
                       std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
}

std::shared_ptr<const Segment> opened(std::string image) {
    auto segment = Segment::open(Blob::copy_of(image));
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    return *segment;
}

std::vector<std::string> sorted_spans(const Segment& segment) {
    auto spans = shown_spans(segment);
    REQUIRE_MESSAGE(spans.has_value(), (spans ? "" : spans.error().message));
    std::sort(spans->begin(), spans->end());
    return *spans;
}

}  // namespace

TEST_CASE("segments of earlier versions open, answer, and become one of today by a merge") {
    for (const uint32_t old_version : {1U, 2U, 3U, 4U, 5U}) {
        CAPTURE(old_version);
        const auto old = opened(golden_segment(old_version));
        CHECK(old->info().spans == 600);
        REQUIRE(old->verify());
        const Field service{Scope::kResource, Intrinsic::kNone, "service.name"};
        CHECK(old->may_contain(service, Value::of_string("frontend")));
        CHECK_FALSE(old->may_contain(service, Value::of_string("nobody")));
        StringFile file;
        const std::vector<std::shared_ptr<const Segment>> inputs = {old};
        REQUIRE(merge_segments(inputs, {}, file, {}));
        uint32_t version = 0;
        std::memcpy(&version, file.bytes.data() + file.bytes.size() - 20, 4);
        CHECK(version == 6);
        const auto merged = opened(file.bytes);
        REQUIRE(merged->verify());
        CHECK(sorted_spans(*merged) == sorted_spans(*old));
        CHECK(merged->may_contain(service, Value::of_string("frontend")));
        CHECK_FALSE(merged->may_contain(service, Value::of_string("nobody")));
    }
}

TEST_CASE("a segment of a version to come is refused with what to do") {
    std::string image = golden_segment(1);
    image[image.size() - 20] = 9;
    const std::string trailer = image.substr(image.size() - 32, 16);
    uint64_t offset = 0;
    std::memcpy(&offset, trailer.data(), 8);
    const uint64_t checksum =
        hash64(trailer, hash64(std::string_view(image).substr(offset, image.size() - 32 - offset)));
    std::memcpy(image.data() + image.size() - 16, &checksum, 8);
    const auto segment = Segment::open(Blob::copy_of(image));
    REQUIRE_FALSE(segment.has_value());
    CHECK(segment.error().code == ErrorCode::kUnsupported);
    CHECK(segment.error().message.find("use a newer spanloom") != std::string::npos);
}

}  // namespace spanloom::store
