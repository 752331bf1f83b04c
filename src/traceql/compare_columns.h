#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "store/group_reader.h"
#include "store/row_bitmap.h"
#include "traceql/compare_classes.h"
#include "traceql/compare_sums.h"
#include "traceql/compare_table.h"

namespace spanloom::traceql {

// The spans of one row group, and the slot and weight of each.
struct CompareRows {
    const store::RowBitmap& rows;
    const store::RowBitmap* selected = nullptr;
    uint32_t interval = 0;                // of all, where `intervals` is empty
    std::span<const uint32_t> intervals;  // by row of the group
    std::span<const double> weights;      // as well; empty: 1 each
    // Where all rows of the group count, plainly: positions of selected ones among a column's
    // values. Known instead of the rows of the values.
    const std::vector<uint32_t>* selected_positions = nullptr;

    bool is_plain() const { return intervals.empty() && weights.empty(); }
    bool is_whole() const { return rows.count() == rows.rows(); }
    // All rows of the group count plainly, and few are selected: where there are many, it takes
    // less to read all values of each column.
    bool selects_few() const {
        constexpr uint32_t kSelectedPart = 32;
        return is_plain() && is_whole() &&
               (selected == nullptr || selected->count() <= rows.rows() / kSelectedPart);
    }
    bool is_selected(uint32_t row) const { return selected != nullptr && selected->test(row); }
    uint32_t slot(uint32_t row) const {
        return 2 * (intervals.empty() ? interval : intervals[row]) + (is_selected(row) ? 1 : 0);
    }
    double weight(uint32_t row) const { return weights.empty() ? 1 : weights[row]; }

    // Visits the values that count: their positions, slots and weights.
    template <typename Visit>
    void each_value(const store::ColumnBlock& block, Visit&& visit) const {
        if (selected_positions == nullptr) {
            each(block,
                 [&](uint32_t row, uint32_t position) { visit(position, slot(row), weight(row)); });
            return;
        }
        auto next = selected_positions->begin();
        const auto count = static_cast<uint32_t>(block.size());
        for (uint32_t position = 0; position < count; ++position) {
            const bool is_next = next != selected_positions->end() && *next == position;
            if (is_next) ++next;
            visit(position, 2 * interval + (is_next ? 1 : 0), 1.0);
        }
    }
    // Visits rows that have a value in the block, with its position.
    template <typename Visit>
    void each(const store::ColumnBlock& block, Visit&& visit) const {
        if (block.dense) {
            const auto size = static_cast<uint32_t>(block.size());
            rows.for_each([&](uint32_t row) {
                if (row < size) visit(row, row);
            });
            return;
        }
        for (uint32_t at = 0; at < block.rows.size(); ++at) {
            const uint32_t row = block.rows[at];
            // Of a key that comes more than once the last value counts.
            if (at + 1 < block.rows.size() && block.rows[at + 1] == row) continue;
            if (rows.test(row)) visit(row, at);
        }
    }
    // The selected ones among them, where no row has two values.
    template <typename Visit>
    void each_selected(const store::ColumnBlock& block, Visit&& visit) const {
        if (selected == nullptr) return;
        auto from = block.rows.begin();
        selected->for_each([&](uint32_t row) {
            if (block.dense) {
                if (row < block.size()) visit(row);
                return;
            }
            from = std::lower_bound(from, block.rows.end(), row);
            if (from != block.rows.end() && *from == row)
                visit(static_cast<uint32_t>(from - block.rows.begin()));
        });
    }
};

// The values of one segment's columns are counted into a table, row group by row group: attributes
// and names (compare_columns.cc), what every row has (compare_resources.cc). Where spans of one
// name have one value they are counted by their name, and the column is not read; where all rows of
// a group count and it is known how often each value comes among them, only selected rows are. One
// thread; the table outlives it.
class CompareColumns {
  public:
    explicit CompareColumns(CompareTable& table) : table_(table), classes_(table) {}

    Result<void> count(store::SegmentReader& reader, store::GroupReader& group,
                       const CompareRows& counting);
    // Everything that was counted is in the table; what was read may go.
    void end();

  private:
    using Attribute = CompareTable::Attribute;

    // What was found out about one column of the segment.
    struct ColumnState {
        Attribute* attribute = nullptr;
        CompareSums sums;  // of the interval at hand
        FollowedDictionary dictionary;
        std::vector<uint32_t> by_code;  // which value; kUnknown: not looked up yet
    };

    void use(store::SegmentReader& reader);
    Result<void> count_alone(store::GroupReader& group, CompareClasses::Column& column,
                             CompareRows counting);
    Result<bool> add_counts(store::GroupReader& group, const CompareClasses::Column& column);
    void add_sum(uint32_t column, const store::Value& value, uint32_t baseline, uint32_t selection);
    void flush();
    Result<void> count_whole_column(store::GroupReader& group, uint32_t column,
                                    const CompareRows& counting);
    Result<void> count_values(store::GroupReader& group, uint32_t column,
                              const CompareRows& counting);
    Result<void> count_selected(store::GroupReader& group, uint32_t column,
                                const CompareRows& counting);
    void count_totals(Attribute& attribute, const store::ColumnBlock& block,
                      const CompareRows& counting);
    void count_block(ColumnState& state, const store::ColumnKey& key,
                     const store::ColumnBlock& block, const CompareRows& counting);
    void count_codes(ColumnState& state, const store::ColumnKey& key,
                     const store::ColumnBlock& block, const CompareRows& counting);
    void count_integers(Attribute& attribute, const store::ColumnKey& key,
                        const store::ColumnBlock& block, const CompareRows& counting);
    void count_numbers(Attribute& attribute, const store::ColumnKey& key,
                       const store::ColumnBlock& block, const CompareRows& counting);
    static std::vector<uint32_t> selected_among(const store::ColumnBlock& values,
                                                const store::ColumnBlock* selected);
    template <typename Visit>
    Result<bool> each_row_value(store::GroupReader& group, uint32_t column,
                                const CompareRows& counting, Visit&& visit);
    Result<void> count_overflow(store::GroupReader& group, const CompareRows& counting);
    Result<void> count_enumeration(store::SegmentReader& reader, store::GroupReader& group,
                                   store::Intrinsic intrinsic, const CompareRows& counting);
    using ResourceSums = std::map<std::pair<uint32_t, uint32_t>, double>;  // by resource and slot
    Result<ResourceSums> sum_resources(store::SegmentReader& reader, store::GroupReader& group,
                                       const CompareRows& counting);
    Result<void> count_resources(store::SegmentReader& reader, store::GroupReader& group,
                                 const CompareRows& counting);
    const std::vector<std::pair<Attribute*, uint32_t>>& resource(const store::Segment& segment,
                                                                 uint32_t index);
    // No row has two values.
    static bool is_single(const store::ColumnBlock& block) {
        return block.dense ||
               std::adjacent_find(block.rows.begin(), block.rows.end()) == block.rows.end();
    }
    template <typename SumOf>
    void add_up(const store::ColumnBlock& block, const CompareRows& counting, size_t size,
                SumOf&& sum_of);

    CompareTable& table_;
    // Of the segment being counted.
    const store::SegmentReader* reader_ = nullptr;
    uint32_t interval_ = 0;
    std::vector<ColumnState> columns_;
    CompareClasses classes_;
    std::vector<std::vector<std::pair<Attribute*, uint32_t>>> resources_;  // attributes of each
    std::vector<uint8_t> is_resource_read_;
    std::vector<CompareClasses::Column> others_;
    std::vector<uint32_t> sums_;  // of one column: by code, 2 each
    std::vector<uint8_t> wanted_;
};

// Sums of plain counting by number, in sums_: sum_of(position) is below `size`. Whoever reads them
// leaves 0 there.
template <typename SumOf>
void CompareColumns::add_up(const store::ColumnBlock& block, const CompareRows& counting,
                            size_t size, SumOf&& sum_of) {
    if (sums_.size() < size * 2) sums_.resize(size * 2, 0);
    if (counting.selected_positions != nullptr) {
        counting.each_value(block, [&](uint32_t position, uint32_t slot, double) {
            ++sums_[sum_of(position) * 2 + slot % 2];
        });
        return;
    }
    if (!counting.is_whole() || !is_single(block)) {
        counting.each(block, [&](uint32_t row, uint32_t position) {
            ++sums_[sum_of(position) * 2 + (counting.is_selected(row) ? 1 : 0)];
        });
        return;
    }
    const auto count = static_cast<uint32_t>(block.size());
    for (uint32_t position = 0; position < count; ++position)
        ++sums_[sum_of(position) * 2];
    counting.each_selected(block, [&](uint32_t position) {
        --sums_[sum_of(position) * 2];
        ++sums_[sum_of(position) * 2 + 1];
    });
}

}  // namespace spanloom::traceql
