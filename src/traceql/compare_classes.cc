#include "traceql/compare_classes.h"

#include <algorithm>
#include <cstring>

#include "store/attribute_cells.h"
#include "store/row_bitmap.h"

namespace spanloom::traceql {
namespace {

using store::ColumnBlock;
using store::GroupReader;
using store::RowBitmap;
using store::RowField;
using store::SegmentReader;
using store::Table;

constexpr uint32_t kUnknown = UINT32_MAX - 1;
constexpr uint32_t kNoOrder = UINT32_MAX;
constexpr uint32_t kNoName = UINT32_MAX - 2;
constexpr uint32_t kRecentSpread = 29;
// Beyond so many the spans have little in common.
constexpr size_t kClassesMax = 20'000;

}  // namespace

void CompareClasses::use(std::span<CompareTable::Attribute* const> attributes,
                         CompareTable::Attribute& names) {
    names_ = &names;
    columns_.assign(attributes.size(), {});
    for (size_t i = 0; i < attributes.size(); ++i)
        columns_[i].attribute = attributes[i];
    orders_ = nullptr;
    forget_classes();
}

void CompareClasses::forget_classes() {
    by_pair_.clear();
    recent_.fill({});
    classes_.clear();
    here_.clear();
}

uint32_t CompareClasses::class_of(uint32_t order, uint32_t kind, std::string_view columns) {
    const auto [at, is_new] =
        by_pair_.try_emplace(uint64_t{order} << 32 | kind, static_cast<uint32_t>(classes_.size()));
    if (!is_new) return at->second;
    here_.emplace_back();
    Class& made = classes_.emplace_back();
    made.name = kUnknown;
    for (size_t i = 0; i + 4 <= columns.size(); i += 4) {
        uint32_t column = 0;
        std::memcpy(&column, columns.data() + i, 4);
        if (column >= columns_.size() || columns_[column].attribute == nullptr) continue;
        made.repeats =
            made.repeats || std::any_of(made.cells.begin(), made.cells.end(),
                                        [&](const Cell& cell) { return cell.column == column; });
        made.cells.push_back({column, kUnknown, {}});
    }
    (void)table_.charge(sizeof(Class) + sizeof(Pair) + 32 + made.cells.size() * sizeof(Cell));
    return at->second;
}

// Which there are in the group, and how many rows of each.
Result<bool> CompareClasses::find_classes(const SegmentReader& reader, GroupReader& group,
                                          const RowBitmap& rows, const RowBitmap* selected) {
    TRY_ASSIGN(const auto kinds, reader.segment().row_kinds(group.group()));
    if (kinds == nullptr || kinds->size() < rows.rows()) return false;
    TRY_ASSIGN(const ColumnBlock* orders,
               group.block(reader.column(Table::kSpans, RowField::kAttributeOrder)));
    if (orders->size() > 0 && orders_ != orders->owner) {
        flush();
        forget_classes();
        orders_ = orders->owner;
    }
    if (classes_.size() > kClassesMax) return false;
    std::span<const uint32_t> order_of_row = orders->codes;
    if (!orders->dense) {
        order_of_row_.assign(rows.rows(), kNoOrder);
        for (size_t i = 0; i < orders->rows.size(); ++i)
            order_of_row_[orders->rows[i]] = orders->codes[i];
        order_of_row = order_of_row_;
    }
    if (order_of_row.size() < rows.rows()) return false;
    tells_names_ = true;
    class_of_row_.resize(rows.rows());
    bool is_told = true;
    rows.for_each([&](uint32_t row) {
        const uint32_t order = order_of_row[row];
        const uint32_t kind = (*kinds)[row];
        const uint64_t pair = uint64_t{order} << 32 | kind;
        Recent& recent = recent_[(order * kRecentSpread + kind) % kRecentClasses];
        if (recent.pair != pair || recent.number == UINT32_MAX)
            recent = {pair,
                      class_of(order, kind,
                               order == kNoOrder ? std::string_view() : orders->strings[order])};
        const uint32_t number = recent.number;
        Pair& here = here_[number];
        if ((here[0] | here[1]) == 0) {
            Class& one = classes_[number];
            one.row = row;
            classes_here_.push_back(number);
            is_told = is_told && !one.repeats;
            tells_names_ = tells_names_ && kind != store::Segment::kNoKind;
        }
        class_of_row_[row] = number;
        ++here[selected != nullptr && selected->test(row) ? 1 : 0];
    });
    return is_told;
}

// Where among a column's values those of the selected rows are: as many values come before one as
// rows with the column do. All rows of the group are counted.
void CompareClasses::find_selected(const RowBitmap& selected, std::vector<Column>& others) {
    place_of_column_.resize(columns_.size());
    for (uint32_t i = 0; i < others.size(); ++i) {
        place_of_column_[others[i].number] = i;
        others[i].selected.emplace();
    }
    before_.assign(classes_.size(), 0);
    uint32_t next = 0;
    selected.for_each([&](uint32_t row) {
        for (; next < row; ++next)
            ++before_[class_of_row_[next]];
        for (const Cell& cell : classes_[class_of_row_[row]].cells) {
            const ColumnState& column = columns_[cell.column];
            if (column.follows) continue;
            uint32_t position = 0;
            for (const uint32_t one : column.classes_here)
                position += before_[one];
            Column& other = others[place_of_column_[cell.column]];
            other.selected->push_back(position);
            other.selected_rows.push_back(row);
        }
    });
}

Result<uint32_t> CompareClasses::look_up_name(const SegmentReader& reader, GroupReader& group,
                                              uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block,
               group.block(reader.column(Table::kSpans, store::Intrinsic::kName)));
    const auto position = store::position_of(*block, row);
    if (!position || *position >= block->size()) return kNoName;
    return table_.number_of(*names_, block->strings[block->codes[*position]]);
}

Result<uint32_t> CompareClasses::look_up(const SegmentReader& reader, GroupReader& group,
                                         uint32_t column, uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    const auto position = store::position_of(*block, row);
    if (!position || *position >= block->size())
        return fail(ErrorCode::kDataLoss, "attribute orders and values do not fit");
    const store::ColumnKey& key = reader.segment().columns()[column];
    return table_.number_of(*columns_[column].attribute, store::value_at(key, *block, *position));
}

Result<void> CompareClasses::count_class(const SegmentReader& reader, GroupReader& group,
                                         uint32_t number) {
    Class& one = classes_[number];
    const Pair here = here_[number];
    if (tells_names_) {
        if (one.name == kUnknown) {
            TRY_ASSIGN(one.name, look_up_name(reader, group, one.row));
        }
        for (size_t i = 0; i < 2; ++i)
            one.totals[i] += here[i];
    }
    for (Cell& cell : one.cells) {
        ColumnState& column = columns_[cell.column];
        if (!column.is_here) {
            column.is_here = true;
            column.follows = reader.segment().follows_row_kinds(cell.column, group.group());
            columns_here_.push_back(cell.column);
        }
        for (size_t i = 0; i < 2; ++i)
            column.here[i] += here[i];
        if (!column.follows) {
            column.classes_here.push_back(number);
            continue;
        }
        if (cell.number == kUnknown) {
            TRY_ASSIGN(cell.number, look_up(reader, group, cell.column, one.row));
        }
        for (size_t i = 0; i < 2; ++i)
            cell.counts[i] += here[i];
    }
    return {};
}

void CompareClasses::leave_group() {
    for (const uint32_t number : classes_here_)
        here_[number] = {};
    classes_here_.clear();
    for (const uint32_t number : columns_here_) {
        columns_[number].is_here = false;
        columns_[number].here = {};
        columns_[number].classes_here.clear();
    }
    columns_here_.clear();
}

Result<bool> CompareClasses::count(const SegmentReader& reader, GroupReader& group,
                                   const RowBitmap& rows, const RowBitmap* selected,
                                   bool selects_few, uint32_t interval,
                                   std::vector<Column>& others) {
    others.clear();
    if (interval != interval_) flush();
    interval_ = interval;
    TRY_ASSIGN(const bool is_told, find_classes(reader, group, rows, selected));
    Result<void> counted;
    for (size_t i = 0; is_told && counted && i < classes_here_.size(); ++i)
        counted = count_class(reader, group, classes_here_[i]);
    for (const uint32_t number : columns_here_) {
        ColumnState& column = columns_[number];
        for (size_t i = 0; i < 2; ++i)
            column.totals[i] += column.here[i];
        if (!column.follows)
            others.push_back(
                {number, column.here[0] + column.here[1], column.here[1] != 0, std::nullopt, {}});
    }
    if (is_told && counted && selects_few)
        find_selected(selected != nullptr ? *selected : RowBitmap(rows.rows()), others);
    leave_group();
    TRY(std::move(counted));
    return is_told;
}

void CompareClasses::flush() {
    const auto each = [&](Pair& counts, auto&& count) {
        for (uint32_t i = 0; i < 2; ++i) {
            if (counts[i] != 0) count(2 * interval_ + i, static_cast<double>(counts[i]));
        }
        counts = {};
    };
    for (ColumnState& column : columns_) {
        each(column.totals, [&](uint32_t slot, double weight) {
            table_.count_total(*column.attribute, slot, weight);
        });
    }
    for (Class& one : classes_) {
        const bool has_name = one.name != kUnknown && one.name != kNoName;
        each(one.totals, [&](uint32_t slot, double weight) {
            if (!has_name) return;
            table_.count_total(*names_, slot, weight);
            table_.count_value(*names_, one.name, slot, weight);
        });
        for (Cell& cell : one.cells) {
            each(cell.counts, [&](uint32_t slot, double weight) {
                table_.count_value(*columns_[cell.column].attribute, cell.number, slot, weight);
            });
        }
    }
}

}  // namespace spanloom::traceql
