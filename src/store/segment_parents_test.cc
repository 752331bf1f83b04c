#include <algorithm>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "store/segment_test_spans.h"

namespace spanloom::store {
namespace {

struct Row {
    TraceId trace_id;
    std::string id;
    std::string parent;  // id; "" for none
};

uint32_t column_of(const Segment& segment, Intrinsic intrinsic) {
    const auto columns = segment.columns();
    for (uint32_t i = 0; i < columns.size(); ++i) {
        if (columns[i].table == Table::kSpans && columns[i].intrinsic == intrinsic) return i;
    }
    FAIL("there is no such column");
    return 0;
}

std::vector<Row> rows_of(const Segment& segment) {
    std::vector<Row> rows(segment.info().spans);
    for (uint32_t i = 0; i < segment.fragment_count(); ++i) {
        const auto fragment = segment.fragment(i);
        REQUIRE(fragment.has_value());
        for (uint32_t row = 0; row < fragment->rows; ++row)
            rows[fragment->first_row + row].trace_id = fragment->trace_id;
    }
    for (uint32_t group = 0; group < segment.row_groups().size(); ++group) {
        const uint32_t first = segment.row_groups()[group].first_row;
        const auto ids = segment.read(column_of(segment, Intrinsic::kSpanId), group);
        const auto parents = segment.read(column_of(segment, Intrinsic::kParentId), group);
        REQUIRE((ids.has_value() && parents.has_value()));
        for (uint32_t row = 0; row < segment.row_groups()[group].rows; ++row)
            rows[first + row].id = (*ids)->fixed.substr(size_t{row} * 8, 8);
        for (size_t i = 0; i < (*parents)->size(); ++i) {
            const size_t row = (*parents)->dense ? i : (*parents)->rows[i];
            rows[first + row].parent = (*parents)->fixed.substr(i * 8, 8);
        }
    }
    return rows;
}

int32_t wanted_parent(const std::vector<Row>& rows, size_t row) {
    if (rows[row].parent.empty()) return Segment::kNoParent;
    for (size_t at = 0; at < rows.size(); ++at) {
        if (rows[at].trace_id != rows[row].trace_id || rows[at].id != rows[row].parent) continue;
        return at == row ? Segment::kParentNotHere : static_cast<int32_t>(at);
    }
    return Segment::kParentNotHere;
}

}  // namespace

TEST_CASE("parents are the rows that their ids name, and traces are found by their hashes") {
    for (const uint32_t group_rows : {5U, 64U, 4096U}) {
        OddRequests requests(group_rows);
        SegmentBuilder builder({group_rows, 1, {}});
        for (int i = 0; i < 4; ++i)
            builder.add(requests.next(100));
        auto image = builder.finish();
        REQUIRE(image.has_value());
        const auto segment = Segment::open(*image);
        REQUIRE(segment.has_value());
        const std::vector<Row> rows = rows_of(**segment);
        size_t linked = 0;
        for (uint32_t group = 0; group < (*segment)->row_groups().size(); ++group) {
            const auto parents = (*segment)->parent_rows(group);
            REQUIRE_MESSAGE(parents.has_value(), (parents ? "" : parents.error().message));
            REQUIRE(parents->has_value());
            const RowGroup& meta = (*segment)->row_groups()[group];
            REQUIRE((*parents)->size() == meta.rows);
            for (uint32_t row = 0; row < meta.rows; ++row) {
                REQUIRE((**parents)[row] == wanted_parent(rows, meta.first_row + row));
                linked += (**parents)[row] >= 0 ? 1 : 0;
            }
        }
        CHECK(linked > 10);
        CHECK(!(*segment)->parent_rows(1'000'000).has_value());
        const auto index = (*segment)->trace_index();
        REQUIRE((index.has_value() && *index != nullptr));
        REQUIRE((*index)->hashes.size() == (*segment)->fragment_count());
        CHECK(std::is_sorted((*index)->hashes.begin(), (*index)->hashes.end()));
        for (size_t i = 0; i < (*index)->hashes.size(); ++i) {
            const auto fragment = (*segment)->fragment((*index)->fragments[i]);
            REQUIRE(fragment.has_value());
            CHECK((*index)->hashes[i] == hash64(fragment->trace_id.view()) >> 32);
        }
    }
}

}  // namespace spanloom::store
