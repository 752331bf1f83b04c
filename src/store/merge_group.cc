#include "store/merge_group.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "store/segment_rows.h"

namespace spanloom::store {
namespace {

constexpr uint32_t kCheckpointRows = 64;
constexpr size_t kCheckpointNumbersMax = 65'536;  // of one table of one group

}  // namespace

void AttributeTable::start(std::shared_ptr<const ColumnBlock> orders, size_t columns_of_segment) {
    orders_ = std::move(orders);
    if (orders_->codes.empty()) return;
    std::vector<uint32_t> rows(orders_->strings.size());
    for (const uint32_t code : orders_->codes)
        ++rows[code];
    plans_.resize(rows.size());
    constexpr uint32_t kNone = UINT32_MAX;
    std::vector<uint32_t> index_of(columns_of_segment, kNone);
    for (uint32_t order = 0; order < rows.size(); ++order) {
        if (rows[order] == 0) continue;
        const std::string_view list = orders_->strings[order];
        plans_[order].first = static_cast<uint32_t>(cells_.size());
        plans_[order].count = static_cast<uint32_t>(list.size() / 4);
        for (size_t i = 0; i < list.size() / 4; ++i) {
            const uint32_t number = order_entry(list, i);
            uint32_t& index = index_of[number];
            if (index == kNone) {
                index = static_cast<uint32_t>(columns_.size());
                columns_.emplace_back();
                columns_.back().number = number;
                counts_.push_back(0);
            }
            counts_[index] += rows[order];
            cells_.push_back(index);
        }
    }
}

void AttributeTable::make_checkpoints() {
    const auto rows = static_cast<uint32_t>(orders_->codes.size());
    checkpoint_rows_ = kCheckpointRows;
    while (rows / checkpoint_rows_ * columns_.size() > kCheckpointNumbersMax)
        checkpoint_rows_ *= 2;
    std::vector<uint32_t> next(columns_.size());
    for (uint32_t row = 0; row < rows; ++row) {
        if (row % checkpoint_rows_ == 0)
            checkpoints_.insert(checkpoints_.end(), next.begin(), next.end());
        const Plan plan = plans_[orders_->codes[row]];
        for (uint32_t i = 0; i < plan.count; ++i)
            ++next[cells_[plan.first + i]];
    }
}

void AttributeTable::advance(uint32_t row) {
    for (; row_ < row; ++row_) {
        const Plan plan = plans_[orders_->codes[row_]];
        for (uint32_t i = 0; i < plan.count; ++i)
            ++columns_[cells_[plan.first + i]].next;
    }
}

void AttributeTable::seek(uint32_t row) {
    const bool is_near = row >= row_ && row - row_ <= kCheckpointRows;
    if (!is_near) {
        if (checkpoint_rows_ == 0) make_checkpoints();
        const uint32_t number = row / checkpoint_rows_;
        const uint32_t* const next = checkpoints_.data() + number * columns_.size();
        for (size_t i = 0; i < columns_.size(); ++i)
            columns_[i].next = next[i];
        row_ = number * checkpoint_rows_;
    }
    advance(row);
}

inline void AttributeTable::emit_value(Column& column, SegmentWriter& writer) {
    const ColumnBlock& block = *column.texts.block;
    const uint32_t at = column.next++;
    switch (column.type) {
        case ColumnType::kInt:
            column.stage->integers.push_back(block.integers[at]);
            break;
        case ColumnType::kDouble:
            column.stage->integers.push_back(std::bit_cast<int64_t>(block.numbers[at]));
            break;
        default:
            column.stage->codes.push_back(column.texts.code_of(
                block.codes[at], column.output_column, writer, *column.output_texts));
            break;
    }
}

void AttributeTable::emit(uint32_t row, uint32_t end, SegmentWriter& writer) {
    if (!has_orders()) return;
    if (row != row_) seek(row);
    for (; row < end; ++row) {
        const Plan plan = plans_[orders_->codes[row]];
        const uint32_t* const cells = cells_.data() + plan.first;
        for (uint32_t i = 0; i < plan.count; ++i)
            emit_value(columns_[cells[i]], writer);
    }
    row_ = end;
}

Result<SpanId> MergeGroup::parent_elsewhere(uint32_t row) {
    const ColumnBlock& parents = block(kColumnParentId);
    if (row < elsewhere_row) {
        elsewhere_row = 0;
        elsewhere_next = 0;
    }
    for (; elsewhere_row < row; ++elsewhere_row)
        elsewhere_next += parents.integers[elsewhere_row] == kParentElsewhere;
    SpanId id;
    if (size_t{elsewhere_next} * 8 + 8 > parents.fixed.size())
        return fail(ErrorCode::kDataLoss, "merge: the ids of parents end early");
    std::memcpy(id.bytes.data(), parents.fixed.data() + size_t{elsewhere_next} * 8, 8);
    return id;
}

}  // namespace spanloom::store
