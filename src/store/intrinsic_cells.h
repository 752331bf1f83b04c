#pragma once

#include <cstdint>

#include "store/attribute_cells.h"

namespace spanloom::store {

// The column of one intrinsic in one segment; the trace id and what scopes hold have none. Rows
// without a stored value have the empty text or zero. One thread.
class IntrinsicCells {
  public:
    IntrinsicCells(SegmentReader& reader, Intrinsic intrinsic);

    // Every row has it; otherwise a row has it where the text is not empty.
    bool is_always_there() const;
    bool may_pass(const ValueTest& test) const;
    bool may_pass(const ValueTest& test, const RowGroup& group) const;
    // Hints for may_pass() and for find() in a row group.
    void foresee(const ValueTest& test) const;
    void foresee_in(uint32_t row_group) const;
    Result<Cells> find(GroupReader& group, const ValueTest* test, const RowBitmap* among);
    Result<Value> value(GroupReader& group, uint32_t row);

  private:
    bool has_places(const ValueTest& test) const;
    Result<int64_t> number(GroupReader& group, const ColumnBlock& block, uint32_t row) const;
    void test_enumeration(const ColumnBlock& block, const ValueTest& test, RowBitmap& hit) const;
    Result<void> test_numbers(GroupReader& group, const ColumnBlock& block, const ValueTest& test,
                              const RowBitmap* among, RowBitmap& hit) const;
    void test_ids(const ColumnBlock& block, const ValueTest& test, const RowBitmap* among,
                  RowBitmap& hit) const;

    SegmentReader& reader_;
    Intrinsic intrinsic_;
    Table table_;
    uint32_t column_;
    CodeVerdicts verdicts_;
};

// The duration of a span whose stored difference is `delta`: 0 where it ends before its start,
// at most INT64_MAX.
int64_t duration_of(uint64_t start_ns, int64_t delta);

}  // namespace spanloom::store
