#pragma once

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "store/field_reader.h"
#include "store/predicate.h"
#include "store/trace_summary.h"
#include "traceql/planner.h"
#include "traceql/rows.h"

namespace spanloom::traceql {

// A filter of the query, ready to be tested by columns.
struct StoredTest {
    const Expression* filter = nullptr;
    store::CompiledPredicate predicate;
    bool is_exact = false;  // as Plan::Condition
    bool only_roots = false;
};
Result<std::vector<StoredTest>> stored_tests(const Plan& plan);
// Which of them is of this condition; tests.size(): none.
size_t test_of(const std::vector<StoredTest>& tests, const Expression& condition);

// What the spans of one segment carry, as evaluation asks for it: rows are those of a row group.
// Filters are tested a row group at a time. One thread; segment and tests outlive it.
class StoredFields {
  public:
    StoredFields(store::SearchSegment& segment, const std::vector<StoredTest>& tests);
    ~StoredFields();

    store::SearchSegment& segment() const { return segment_; }
    store::SegmentReader& reader() const { return reader_; }

    // Rows of the group that pass the predicate of a test; the last two groups are remembered.
    Result<const store::RowBitmap*> hits(size_t test, store::GroupReader& group);
    // As TraceRows::value.
    Result<store::Value> value(const store::Field& field, store::GroupReader& group,
                               const Place& place, const TraceId& trace_id);
    // First row of the group's events (or links) that belong to a span, and one past the last.
    Result<std::pair<uint32_t, uint32_t>> children(store::Table table, store::GroupReader& group,
                                                   uint32_t row) const;
    Result<double> weight(store::GroupReader& group, uint32_t row) const;

  private:
    // Neighbouring traces share a row group; a trace may lie in two.
    struct Tested {
        uint32_t group = UINT32_MAX;
        store::RowBitmap rows;
    };
    struct TestState {
        std::optional<store::BoundPredicate> bound;
        std::array<Tested, 2> tested;
        uint32_t turn = 0;
    };

    store::FieldReader& field(const store::Field& wanted);
    Result<store::Value> cell(const store::Field& wanted, store::Table table,
                              store::GroupReader& group, uint32_t row);
    Result<store::Value> child_value(const store::Field& field, store::GroupReader& group,
                                     uint32_t row, store::Table table, uint32_t child);

    store::SearchSegment& segment_;
    store::SegmentReader& reader_;
    const std::vector<StoredTest>& tests_;
    std::vector<TestState> states_;
    std::vector<std::unique_ptr<store::FieldReader>> fields_;
    std::vector<std::pair<store::Field, std::unique_ptr<store::IntrinsicCells>>> child_intrinsics_;
    std::vector<std::pair<store::Field, std::unique_ptr<store::AttributeCells>>> child_attributes_;
};

}  // namespace spanloom::traceql
