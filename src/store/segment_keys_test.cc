#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "store/segment.h"
#include "store/segment_layout.h"
#include "store/segment_test_spans.h"
#include "store/string_file.h"
#include "store/test_spans.h"

// Attribute keys without number: what they cost, and that others do not pay for them.
namespace spanloom::store {
namespace {

constexpr uint64_t kSpans = 20'000;
constexpr uint64_t kKeys = 10'000;

void write_attribute(otlp::WireWriter& out, std::string_view key, uint64_t number) {
    const size_t attribute = out.begin(9);
    out.bytes_field(1, key);
    const size_t value = out.begin(2);
    out.varint_field(3, number);
    out.end(value);
    out.end(attribute);
}

// Every span has two attributes; every second one a third, whose key one other span has at most.
std::vector<Batch> batches(bool has_odd_keys) {
    std::vector<Batch> all;
    for (uint64_t first = 0; first < kSpans; first += 1000) {
        std::string bytes;
        otlp::WireWriter out(bytes);
        const size_t resource_spans = out.begin(1);
        const size_t scope_spans = out.begin(2);
        for (uint64_t i = first; i < first + 1000; ++i) {
            const size_t span = out.begin(2);
            out.bytes_field(1, test_trace_id(i / 4).view());
            out.bytes_field(2, test_span_id(i).view());
            out.bytes_field(5, "call");
            out.fixed64_field(7, 1'000'000'000'000 + i * 1'000'000);
            out.fixed64_field(8, 1'000'000'000'000 + i * 1'000'000 + 500'000);
            write_attribute(out, "common", i % 7);
            if (has_odd_keys && i % 2 == 0)
                write_attribute(out, "odd." + std::to_string(i / 2 % kKeys), i);
            write_attribute(out, "number", i * 31 % 1000);
            out.end(span);
        }
        out.end(scope_spans);
        out.end(resource_spans);
        auto batch = otlp::decode(Blob::copy_of(bytes));
        REQUIRE(batch.has_value());
        all.push_back(std::move(*batch));
    }
    return all;
}

struct Made {
    std::string bytes;
    std::shared_ptr<const Segment> segment;
};

Made merged(const std::vector<Batch>& all) {
    std::vector<std::shared_ptr<const Segment>> heads;
    SegmentBuilder builder({4096, 0, {}, PlacesForm::kNone});
    for (size_t i = 0; i < all.size(); ++i) {
        builder.add(all[i]);
        if (i % 5 != 4) continue;
        auto image = builder.finish();
        REQUIRE(image.has_value());
        auto head = Segment::open(*image);
        REQUIRE(head.has_value());
        heads.push_back(*head);
    }
    StringFile file;
    const auto info = merge_segments(heads, {}, file, {});
    REQUIRE_MESSAGE(info.has_value(), (info ? "" : info.error().message));
    auto segment = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE_MESSAGE(segment.has_value(), (segment ? "" : segment.error().message));
    return {file.bytes, *segment};
}

}  // namespace

TEST_CASE("ten thousand keys cost what they hold, and all of it comes back") {
    const std::vector<Batch> all = batches(true);
    const Made with = merged(all);
    const Made without = merged(batches(false));
    REQUIRE(with.segment->verify());
    CHECK(with.segment->columns().size() <= kFixedColumns + kColumnsMax);
    // An attribute that is alone in the world: its key, value, order and block.
    CHECK(with.bytes.size() < without.bytes.size() + kKeys * 60);
    std::vector<std::string> wanted;
    for (const Batch& batch : all)
        for (const SpanRef& ref : batch.spans)
            wanted.push_back(shown_span(batch, ref));
    auto spans = shown_spans(*with.segment);
    REQUIRE_MESSAGE(spans.has_value(), (spans ? "" : spans.error().message));
    std::sort(spans->begin(), spans->end());
    std::sort(wanted.begin(), wanted.end());
    CHECK(*spans == wanted);
}

TEST_CASE(
    "a key that few spans have, in several places and twice in one, comes back where it was") {
    size_t values = 0;
    size_t having = 0;  // spans
    std::string bytes;
    otlp::WireWriter out(bytes);
    const size_t resource_spans = out.begin(1);
    const size_t scope_spans = out.begin(2);
    for (uint64_t i = 0; i < 4000; ++i) {
        const size_t span = out.begin(2);
        out.bytes_field(1, test_trace_id(i / 4).view());
        out.bytes_field(2, test_span_id(i).view());
        out.bytes_field(5, "call");
        out.fixed64_field(7, 1'000'000'000'000 + i * 1'000'000);
        out.fixed64_field(8, 1'000'000'000'000 + i * 1'000'000 + 500'000);
        const bool is_first = i % 97 == 0 || i == 2500;
        const bool is_last = i % 103 == 1 || i == 2500;
        if (is_first) write_attribute(out, "rare", i);
        write_attribute(out, "common", i % 7);
        if (is_last) write_attribute(out, "rare", i + 1);
        values += (is_first ? 1 : 0) + (is_last ? 1 : 0);
        having += is_first || is_last ? 1 : 0;
        out.end(span);
    }
    out.end(scope_spans);
    out.end(resource_spans);
    const auto batch = otlp::decode(Blob::copy_of(bytes));
    REQUIRE(batch.has_value());
    SegmentBuilder builder({4096, 0, {}, PlacesForm::kNone});
    builder.add(*batch);
    const auto image = builder.finish();
    REQUIRE(image.has_value());
    const auto head = Segment::open(*image);
    REQUIRE(head.has_value());
    const std::vector<std::shared_ptr<const Segment>> heads = {*head};
    StringFile file;
    REQUIRE(merge_segments(heads, {}, file, {}).has_value());
    const auto merged = Segment::open(Blob::copy_of(file.bytes));
    REQUIRE(merged.has_value());
    std::vector<std::string> wanted;
    for (const SpanRef& ref : batch->spans)
        wanted.push_back(shown_span(*batch, ref));
    std::sort(wanted.begin(), wanted.end());
    for (const auto& segment : {*head, *merged}) {
        auto spans = shown_spans(*segment);
        REQUIRE_MESSAGE(spans.has_value(), (spans ? "" : spans.error().message));
        std::sort(spans->begin(), spans->end());
        CHECK(*spans == wanted);
    }
    // Ascending, each as often as the span has it.
    const auto columns = (*merged)->columns();
    for (uint32_t column = kFixedColumns; column < columns.size(); ++column) {
        if (columns[column].key != "rare") continue;
        const auto block = (*merged)->read(column, 0);
        REQUIRE(block.has_value());
        CHECK((*block)->size() == values);
        CHECK(std::is_sorted((*block)->rows.begin(), (*block)->rows.end()));
        const std::set<uint32_t> rows((*block)->rows.begin(), (*block)->rows.end());
        CHECK(rows.size() == having);
    }
}

TEST_CASE("columns of keys that all spans have are as short beside ten thousand others") {
    const Made with = merged(batches(true));
    const auto columns = with.segment->columns();
    for (uint32_t column = kFixedColumns; column < columns.size(); ++column) {
        if (columns[column].key != "common") continue;
        uint64_t values = 0;
        for (uint32_t group = 0; group < with.segment->row_groups().size(); ++group) {
            const auto block = with.segment->read(column, group);
            REQUIRE(block.has_value());
            values += (*block)->size();
            for (const int64_t value : (*block)->integers)
                REQUIRE(value < 7);
        }
        // Those whose order has no room any more are in the overflow, whole.
        CHECK(values >= kSpans / 2);
    }
}

}  // namespace spanloom::store
