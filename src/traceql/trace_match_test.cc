#include "traceql/trace_match.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "store/test_spans.h"
#include "traceql/checker.h"

namespace spanloom::traceql {
namespace {

std::shared_ptr<const store::Segment> built(uint64_t first, uint64_t count,
                                            const std::string& name) {
    store::SegmentOptions options;
    options.row_group_rows = 6;
    store::SegmentBuilder builder(options);
    builder.add(store::test_batch(first, count, 1, name));
    return *store::Segment::open(*builder.finish());
}

TracePart part_of(const std::vector<std::shared_ptr<const store::Segment>>& segments,
                  uint32_t segment, uint64_t trace) {
    return {segment, **segments[segment]->find(store::test_trace_id(trace))};
}

}  // namespace

TEST_CASE("traces are found by columns, as wholes, and over segments") {
    // Traces 0 to 3 of four spans; trace 3 has two more in the other segment.
    const std::vector<std::shared_ptr<const store::Segment>> segments = {built(0, 14, "a"),
                                                                         built(14, 2, "b")};
    const auto count = [&](const char* text, uint32_t segment) {
        const auto query = parse(text);
        REQUIRE(query.has_value());
        TraceMatch match(*query, segments, 1U << 20, nullptr);
        const auto found = match.match_segment(segment);
        REQUIRE(found.has_value());
        return std::count(found->begin(), found->end(), 1);
    };
    CHECK(count("{ name = \"a\" }", 0) == 4);
    CHECK(count("{ name = \"a\" }", 1) == 0);
    CHECK(count("{ name = \"b\" }", 1) == 1);
    CHECK(count("{ } | count() > 3", 0) == 3);
    CHECK(count("{ } | count() > 30", 0) == 0);
    const auto query = parse("{ name = \"a\" } | count() > 1 | count() < 3");
    const auto both = parse("{ name = \"a\" } && { name = \"b\" }");
    REQUIRE(query.has_value());
    REQUIRE(both.has_value());
    const std::vector<TracePart> parts = {part_of(segments, 0, 3), part_of(segments, 1, 3)};
    CHECK(*TraceMatch(*query, segments, 1U << 20, nullptr).match_trace(parts));
    CHECK(*TraceMatch(*both, segments, 1U << 20, nullptr).match_trace(parts));
    CHECK_FALSE(*TraceMatch(*both, segments, 1U << 20, nullptr).match_trace({parts.data(), 1}));
}

TEST_CASE("what there is no memory for counts as found, and a stop is a stop") {
    const std::vector<std::shared_ptr<const store::Segment>> segments = {built(0, 8, "a")};
    const auto query = parse("{ name = \"b\" } || { name = \"c\" } | count() > 1");
    REQUIRE(query.has_value());
    const TracePart part = part_of(segments, 0, 1);
    CHECK_FALSE(*TraceMatch(*query, segments, 1U << 20, nullptr).match_trace({&part, 1}));
    CHECK(*TraceMatch(*query, segments, 10, nullptr).match_trace({&part, 1}));
    TraceMatch stopped(*query, segments, 1U << 20, [] { return true; });
    CHECK(stopped.match_trace({&part, 1}).error().code == ErrorCode::kCancelled);
}

}  // namespace spanloom::traceql
