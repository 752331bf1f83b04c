#include <mutex>

#include <doctest/doctest.h>

#include "store/search_test_model.h"

// That a search tells the disk of several segments before it waits for one of them.

using namespace spanloom;
using namespace spanloom::store;

namespace {

struct Touch {
    size_t segment = 0;
    uint64_t offset = 0;
    bool is_hint = false;
};

// A file in memory that writes down in which order it is read and foreseen.
class WatchedFile final : public ReadableFile {
  public:
    WatchedFile(Blob bytes, size_t segment, std::vector<Touch>& touches)
        : bytes_(std::move(bytes)), segment_(segment), touches_(touches) {}
    uint64_t size() const override { return bytes_.size(); }
    Result<Blob> read(uint64_t offset, size_t size) const override {
        touches_.push_back({segment_, offset, false});
        return bytes_.slice(offset, size);
    }
    void foresee(uint64_t offset, size_t) const override {
        touches_.push_back({segment_, offset, true});
    }

  private:
    Blob bytes_;
    size_t segment_;
    std::vector<Touch>& touches_;
};

struct WatchedStore {
    std::vector<Touch> touches;
    std::vector<std::shared_ptr<const Segment>> segments;

    // Segment i has traces from i * 1000 on; the last one has the user that is looked for.
    explicit WatchedStore(size_t count) {
        for (size_t i = 0; i < count; ++i) {
            std::vector<ModelSpan> spans;
            for (uint64_t n = 0; n < 300; ++n)
                spans.push_back({.trace = i * 1000 + n,
                                 .span = n + 1,
                                 .start = (count - i) * 1'000'000 + n,
                                 .duration = 5,
                                 .service = "cart",
                                 .name = "call",
                                 .user = "u" + std::to_string(i * 1000 + n)});
            SegmentBuilder builder({.row_group_rows = 64, .zstd_level = 1, .rollup = {}});
            builder.add(batch_of(spans));
            auto image = builder.finish();
            REQUIRE(image.has_value());
            auto segment =
                Segment::open(std::make_unique<WatchedFile>(std::move(*image), i, touches));
            REQUIRE(segment.has_value());
            segments.push_back(std::move(*segment));
        }
        touches.clear();
    }

    size_t reads() const {
        return static_cast<size_t>(std::count_if(touches.begin(), touches.end(),
                                                 [](const Touch& one) { return !one.is_hint; }));
    }
    // Of the reads, those that nothing told of before.
    size_t surprises() const {
        std::set<std::pair<size_t, uint64_t>> hinted;
        size_t count = 0;
        for (const Touch& one : touches) {
            if (one.is_hint) hinted.emplace(one.segment, one.offset);
            count += !one.is_hint && !hinted.contains({one.segment, one.offset}) ? 1 : 0;
        }
        return count;
    }
    // Whether all of these segments were told of before the first of them was read.
    bool are_foreseen_together(size_t first, size_t end) const {
        std::set<size_t> hinted;
        for (const Touch& one : touches) {
            if (one.segment < first || one.segment >= end) continue;
            if (!one.is_hint) break;
            hinted.insert(one.segment);
        }
        return hinted.size() == end - first;
    }
};

}  // namespace

TEST_CASE("a needle is looked for in many segments at once") {
    constexpr size_t kSegments = 12;
    WatchedStore store(kSegments);
    SearchRequest request;
    const std::string wanted = "u" + std::to_string((kSegments - 1) * 1000 + 7);
    request.where = Predicate::compare({Scope::kSpan, Intrinsic::kNone, "user.id"},
                                       Comparison::kEqual, Value::of_string(wanted));
    const auto answer = search(store.segments, request);
    REQUIRE(answer.has_value());
    REQUIRE(answer->traces.size() == 1);
    CHECK(answer->traces[0].trace_id == test_trace_id((kSegments - 1) * 1000 + 7));
    // Every segment is asked for its directory and pages at least.
    CHECK(store.reads() >= kSegments * 2);
    // One segment alone, then four, then the rest.
    CHECK(store.are_foreseen_together(1, 5));
    CHECK(store.are_foreseen_together(5, kSegments));
    // Only of the trace that is found some things come as a surprise: its place in the table, and
    // what follows the names.
    CHECK(store.surprises() <= 8);
}

TEST_CASE("the newest traces are found without looking ahead at all segments") {
    WatchedStore store(12);
    SearchRequest request;
    request.where = Predicate::compare({Scope::kIntrinsic, Intrinsic::kName, {}},
                                       Comparison::kEqual, Value::of_string("call"));
    request.limit = 5;
    const auto answer = search(store.segments, request);
    REQUIRE(answer.has_value());
    REQUIRE(answer->traces.size() == 5);
    CHECK(answer->stats.segments_skipped >= 10);
    // Whether a trace goes on elsewhere is asked of all; that is one block.
    std::map<size_t, std::set<uint64_t>> read;
    for (const Touch& one : store.touches)
        if (!one.is_hint) read[one.segment].insert(one.offset);
    for (size_t i = 5; i < 12; ++i)
        CHECK(read[i].size() <= 1);
}

TEST_CASE("a trace is read with the disk told of all that it needs") {
    WatchedStore store(8);
    const auto trace = read_trace(store.segments, test_trace_id(3007));
    REQUIRE(trace.has_value());
    CHECK(trace->spans == 1);
    // The indexes of all segments are told of before the first is read.
    std::set<size_t> hinted;
    for (const Touch& one : store.touches) {
        if (!one.is_hint) break;
        hinted.insert(one.segment);
    }
    CHECK(hinted.size() == 8);
    // What is left is the piece of the fragment table, and what follows the names.
    CHECK(store.reads() > 10);
    CHECK(store.surprises() < store.reads() / 2);
}
