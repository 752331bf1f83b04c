#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/merge_group.h"
#include "store/segment.h"
#include "store/segment_writer.h"

// One side of a merge: the row groups of an input as they are needed, and what its numbers
// (columns, orders, scopes, dictionary codes) are in the output.
namespace spanloom::store {

class FileSegment;

// All columns of one row group, with their rows: for what is done with few rows.
struct WholeGroup {
    struct Column {
        uint32_t number = 0;  // of the input
        std::shared_ptr<const ColumnBlock> block;
        size_t cursor = 0;  // where the last look-up ended: rows are asked for in order, mostly
    };

    std::vector<Column> fixed;       // all, by number
    std::vector<Column> attributes;  // of all tables, those with values

    const ColumnBlock& block(uint32_t fixed_column) const { return *fixed[fixed_column].block; }
};

// Values [first, last) of a column belong to rows [row, end).
struct ValueRange {
    size_t first = 0;
    size_t last = 0;
};
ValueRange values_of(WholeGroup::Column& column, uint32_t row, uint32_t end);

class MergeInput {
  public:
    MergeInput(std::shared_ptr<const Segment> segment, SegmentWriter& writer);

    const Segment& segment() const { return *segment_; }
    // Fails where a scope, resource or column of the input cannot be taken over.
    Result<void> prepare();
    Result<std::shared_ptr<MergeGroup>> load(uint32_t group);
    Result<std::shared_ptr<WholeGroup>> load_whole(uint32_t group);
    uint32_t group_of(uint32_t row) const;

    // Scopes and resources are taken over when a row of them is: what only left-out traces have
    // does not get into the output.
    uint32_t output_scope(int64_t input_scope);
    // The output's order for a code of an order column; kNone: the attributes must go into
    // overflow.
    uint32_t output_order(Table table, const ColumnBlock& block, uint32_t code);
    // Whether rows of a fragment that starts at this time may have come long after they ended.
    bool may_be_delayed(uint64_t start_ns) const {
        return delays_ != nullptr || is_delayed(first_arrival_s_, start_ns);
    }
    // In which second the row came if that is long after it ended; else 0.
    uint64_t delayed_until_s(const MergeGroup& group, uint32_t row) const;
    bool are_delays_complete() const { return delays_ == nullptr || delays_->is_complete; }
    // Everything that makes a span this one and not another: for telling whether two are equal.
    std::string content(WholeGroup& group, uint32_t row);
    // All attributes of one row as an overflow value (segment_wire.h).
    std::string overflow_value(Table table, WholeGroup& group, uint32_t row) const;

  private:
    void map_texts(uint32_t column, TextSource& source);
    Result<void> load_attributes(Table table, uint32_t group, AttributeTable& attributes);
    void append_child(Table table, WholeGroup& group, uint32_t row, std::string& out) const;
    void append_attributes(Table table, WholeGroup& group, uint32_t row, std::string& out) const;

    std::shared_ptr<const Segment> segment_;
    const FileSegment* file_ = nullptr;  // the same
    SegmentWriter& writer_;
    std::shared_ptr<const Delays> delays_;
    uint64_t first_arrival_s_ = 0;
    std::vector<uint32_t> columns_;     // input column to output column
    std::vector<uint32_t> fixed_;       // fixed output column to input column
    std::vector<uint32_t> scopes_;      // input scope to output scope; filled as they are met
    std::vector<CodeMap> shared_maps_;  // per input column, for a dictionary that blocks share
    std::vector<std::shared_ptr<const void>> last_owners_;  // per input column, of the last block
    struct OrderMap {
        std::shared_ptr<const void> owner;
        std::vector<uint32_t> orders;
    };
    std::array<OrderMap, 3> order_maps_;
};

}  // namespace spanloom::store
