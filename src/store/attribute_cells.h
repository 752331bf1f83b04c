#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/group_reader.h"
#include "store/row_bitmap.h"
#include "store/values.h"

namespace spanloom::store {

// What was found out about the entries of one column's dictionary, so that a text is tested once
// however many rows have it. One thread.
class CodeVerdicts {
  public:
    // Forgets, unless the block has the dictionary of the one before.
    void follow(const ColumnBlock& block);
    template <typename Test>
    bool of(uint32_t code, Test&& test) {
        uint8_t& verdict = verdicts_[code];
        if (verdict == 0) verdict = test(strings_[code]) ? 2 : 1;
        return verdict == 2;
    }

  private:
    std::span<const std::string_view> strings_;
    std::shared_ptr<const void> owner_;  // keeps the addresses from being used again
    std::vector<uint8_t> verdicts_;
};

// What the values of a column are; arrays, maps and bytes are all the same here.
ValueKind kind_of(const ColumnKey& key);

// Rows of one table that have a key, and those of them whose value passes the test.
struct Cells {
    RowBitmap has;
    RowBitmap hit;
};

// The columns of one segment in which the values of one key (of spans, events or links) lie.
// A key that a row has more than once counts with its last value. One thread.
class AttributeCells {
  public:
    AttributeCells(SegmentReader& reader, Table table, std::string key);

    // No row of the segment has the key.
    bool is_empty() const { return columns_.empty() && overflow_ == kNoColumn; }
    // False: no value passes, judging by types and by where the segment's values are.
    bool may_pass(const ValueTest& test);
    // Hints for may_pass() and for find() in a row group.
    void foresee(const ValueTest& test) const;
    void foresee_in(uint32_t row_group) const;
    // False: no value of this row group passes the test that may_pass() was asked about last.
    bool may_pass_in(const RowGroup& group) const;
    // Only rows of `among` need be right, where it is given.
    Result<Cells> find(GroupReader& group, const ValueTest* test, const RowBitmap* among);
    // The value of one row; nil where it has none.
    Result<Value> value(GroupReader& group, uint32_t row);

  private:
    Result<std::vector<RowBitmap>> rows_to_ignore(GroupReader& group) const;
    Result<void> find_overflow(GroupReader& group, const ValueTest* test, Cells& cells);
    Result<uint32_t> winner(GroupReader& group, uint32_t row) const;
    bool equality_may_hold(const ValueTest& test);
    Field field() const;

    SegmentReader& reader_;
    Table table_;
    std::string key_;
    std::vector<uint32_t> columns_;
    uint32_t overflow_ = kNoColumn;
    std::vector<CodeVerdicts> verdicts_;  // as columns_
    ValuePlaces places_{true, {}};        // of the values that a test for equality accepts
};

// The value that a column has at a place of a block.
Value value_at(const ColumnKey& key, const ColumnBlock& block, uint32_t position);
// Sets the rows whose (last) value passes. `ignored` may be empty.
void test_column(const ColumnKey& key, const ColumnBlock& block, const ValueTest& test,
                 CodeVerdicts& verdicts, const RowBitmap* among, const RowBitmap* ignored,
                 RowBitmap& hit);

}  // namespace spanloom::store
