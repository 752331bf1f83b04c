#include "store/attribute_cells.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace spanloom::store {
namespace {

Scope scope_of(Table table) {
    switch (table) {
        case Table::kEvents:
            return Scope::kEvent;
        case Table::kLinks:
            return Scope::kLink;
        default:
            return Scope::kSpan;
    }
}

void mark_rows(const ColumnBlock& block, RowBitmap& rows) {
    if (block.dense) {
        rows.fill(0, rows.rows());
    } else {
        for (const uint32_t row : block.rows)
            rows.set(row);
    }
}

// Every stored value that equals a number, whatever its type.
std::vector<Value> equal_numbers(const Value& wanted) {
    std::vector<Value> equal;
    const double number = wanted.as_number();
    if (wanted.kind != ValueKind::kDouble) {
        equal.push_back(Value::of_int(wanted.integer));
        if (compare_int_double(wanted.integer, number) == 0)
            equal.push_back(Value::of_double(number));
    } else {
        equal.push_back(wanted);
        if (number >= -0x1p63 && number < 0x1p63 && number == std::floor(number)) {
            equal.push_back(Value::of_int(static_cast<int64_t>(number)));
        }
    }
    if (number == 0) {
        equal.push_back(Value::of_double(0.0));
        equal.push_back(Value::of_double(-0.0));
    }
    return equal;
}

// Every stored value that prints as this text.
std::vector<Value> printed_as(const std::string& text) {
    std::vector<Value> equal = {Value::of_string(text)};
    if (text == "true" || text == "false") equal.push_back(Value::of_bool(text == "true"));
    if (const auto integer = parse_int(text)) equal.push_back(Value::of_int(*integer));
    if (const auto number = parse_double(text)) {
        equal.push_back(Value::of_double(*number));
        if (*number == 0) equal.push_back(Value::of_double(-0.0));
    }
    if (text == "NaN") equal.push_back(Value::of_double(std::nan("")));
    return equal;
}

// The stored values that a test for equality accepts; nullopt: it is for something else.
std::optional<std::vector<Value>> accepted(const ValueTest& test) {
    if (test.comparison() == Comparison::kTextEqual) return printed_as(value_text(test.wanted()));
    if (test.comparison() != Comparison::kEqual) return std::nullopt;
    if (test.wanted().is_number()) return equal_numbers(test.wanted());
    return std::vector<Value>{test.wanted()};
}

}  // namespace

ValueKind kind_of(const ColumnKey& key) {
    switch (key.type) {
        case ColumnType::kInt:
            return key.is_boolean ? ValueKind::kBool : ValueKind::kInt;
        case ColumnType::kDouble:
            return ValueKind::kDouble;
        case ColumnType::kString:
            return ValueKind::kString;
        default:
            return ValueKind::kOther;
    }
}

void CodeVerdicts::follow(const ColumnBlock& block) {
    if (block.strings.data() == strings_.data() && block.strings.size() == strings_.size() &&
        owner_ == block.owner && owner_ != nullptr) {
        return;
    }
    strings_ = block.strings;
    owner_ = block.owner;
    verdicts_.assign(strings_.size(), 0);
}

Value value_at(const ColumnKey& key, const ColumnBlock& block, uint32_t position) {
    switch (key.type) {
        case ColumnType::kInt:
            return {key.is_boolean ? ValueKind::kBool : ValueKind::kInt,
                    block.integers[position],
                    0,
                    {}};
        case ColumnType::kDouble:
            return Value::of_double(block.numbers[position]);
        case ColumnType::kString:
            return Value::of_string(std::string(block.strings[block.codes[position]]));
        case ColumnType::kValue:
            return value_of(otlp::ValueView::parse(block.strings[block.codes[position]]));
        case ColumnType::kFixed: {
            std::string hex;
            const std::string_view bytes =
                block.fixed.substr(size_t{position} * block.width, block.width);
            append_hex(hex, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
            return Value::of_string(std::move(hex));
        }
    }
    return Value::nil();
}

void test_column(const ColumnKey& key, const ColumnBlock& block, const ValueTest& test,
                 CodeVerdicts& verdicts, const RowBitmap* among, const RowBitmap* ignored,
                 RowBitmap& hit) {
    const size_t size = block.size();
    const ValueKind kind = kind_of(key);
    if (!test.fits(kind)) return;
    verdicts.follow(block);
    const auto each = [&](auto&& passes) {
        for (size_t i = 0; i < size; ++i) {
            const uint32_t row = block.dense ? static_cast<uint32_t>(i) : block.rows[i];
            if (!block.dense && i + 1 < size && block.rows[i + 1] == row) continue;
            if (among != nullptr && !among->test(row)) continue;
            if (ignored != nullptr && ignored->test(row)) continue;
            if (passes(i)) hit.set(row);
        }
    };
    switch (key.type) {
        case ColumnType::kInt:
            if (const auto range = test.integer_range(kind);
                range && block.dense && ignored == nullptr)
                return select_range(block.integers, *range, hit);
            each([&](size_t i) { return test.on_integer(kind, block.integers[i]); });
            return;
        case ColumnType::kDouble:
            each([&](size_t i) { return test.on_double(block.numbers[i]); });
            return;
        case ColumnType::kString:
            each([&](size_t i) {
                return verdicts.of(block.codes[i],
                                   [&](std::string_view text) { return test.on_string(text); });
            });
            return;
        case ColumnType::kValue:
            each([&](size_t i) {
                return verdicts.of(block.codes[i],
                                   [&](std::string_view text) { return test.on_message(text); });
            });
            return;
        case ColumnType::kFixed:
            return;  // attributes are never of this type
    }
}

AttributeCells::AttributeCells(SegmentReader& reader, Table table, std::string key)
    : reader_(reader),
      table_(table),
      key_(std::move(key)),
      columns_(reader.attribute_columns(table, key_)),
      overflow_(reader.column(table, RowField::kOverflow)),
      verdicts_(columns_.size()) {}

Field AttributeCells::field() const {
    return {scope_of(table_), Intrinsic::kNone, key_};
}

bool AttributeCells::equality_may_hold(const ValueTest& test) {
    const auto equal = accepted(test);
    if (!equal) return true;
    ValuePlaces places;
    for (const Value& value : *equal) {
        const ValuePlaces more = reader_.segment().places_of(field(), value);
        places.is_anywhere |= more.is_anywhere;
        places.groups.insert(places.groups.end(), more.groups.begin(), more.groups.end());
    }
    places_ = std::move(places);
    return !places_.is_nowhere();
}

void AttributeCells::foresee(const ValueTest& test) const {
    if (is_empty()) return;
    const auto equal = accepted(test);
    if (!equal) return;
    for (const Value& value : *equal)
        reader_.segment().foresee_places_of(field(), value);
}

void AttributeCells::foresee_in(uint32_t row_group) const {
    for (const uint32_t column : columns_)
        reader_.segment().foresee_block(column, row_group);
    if (overflow_ != kNoColumn) reader_.segment().foresee_block(overflow_, row_group);
}

bool AttributeCells::may_pass_in(const RowGroup& group) const {
    if (places_.is_anywhere) return true;
    const auto groups = reader_.segment().row_groups();
    return std::any_of(places_.groups.begin(), places_.groups.end(), [&](uint32_t number) {
        return number < groups.size() && groups[number].first_row == group.first_row;
    });
}

bool AttributeCells::may_pass(const ValueTest& test) {
    places_ = {true, {}};
    if (is_empty()) return false;
    const auto keys = reader_.segment().columns();
    // What an array holds is not in the filters.
    const bool has_arrays = std::any_of(columns_.begin(), columns_.end(), [&](uint32_t column) {
        return keys[column].type == ColumnType::kValue;
    });
    const bool fits = std::any_of(columns_.begin(), columns_.end(), [&](uint32_t column) {
        return test.fits(kind_of(keys[column]));
    });
    if (!fits && overflow_ == kNoColumn) return false;
    return has_arrays || overflow_ != kNoColumn || equality_may_hold(test);
}

Result<uint32_t> AttributeCells::winner(GroupReader& group, uint32_t row) const {
    TRY_ASSIGN(const ColumnBlock* order,
               group.block(reader_.column(table_, RowField::kAttributeOrder)));
    const auto position = position_of(*order, row);
    if (!position) return columns_.back();
    const std::string_view sequence = order->strings[order->codes[*position]];
    uint32_t last = columns_.back();
    for (size_t at = 0; at + 4 <= sequence.size(); at += 4) {
        uint32_t column = 0;
        std::memcpy(&column, sequence.data() + at, 4);
        if (std::find(columns_.begin(), columns_.end(), column) != columns_.end()) last = column;
    }
    return last;
}

// Per column the rows whose last value is in another column. Empty where there are none.
Result<std::vector<RowBitmap>> AttributeCells::rows_to_ignore(GroupReader& group) const {
    std::vector<RowBitmap> ignored;
    if (columns_.size() < 2) return ignored;
    const uint32_t rows = group.table_rows(table_);
    RowBitmap seen(rows);
    RowBitmap conflicts(rows);
    std::vector<RowBitmap> marked;
    for (const uint32_t column : columns_) {
        TRY_ASSIGN(const ColumnBlock* block, group.block(column));
        RowBitmap mine(rows);
        mark_rows(*block, mine);
        RowBitmap both = mine;
        both &= seen;
        conflicts |= both;
        seen |= mine;
        marked.push_back(std::move(mine));
    }
    if (!conflicts.any()) return ignored;
    ignored.assign(columns_.size(), RowBitmap(rows));
    Result<void> outcome;
    conflicts.for_each([&](uint32_t row) {
        const auto last = winner(group, row);
        if (!last) {
            outcome = tl::unexpected<Error>(last.error());
            return;
        }
        for (size_t i = 0; i < columns_.size(); ++i) {
            if (columns_[i] != *last) ignored[i].set(row);
        }
    });
    TRY(outcome);
    return ignored;
}

Result<void> AttributeCells::find_overflow(GroupReader& group, const ValueTest* test,
                                           Cells& cells) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(overflow_));
    for (size_t i = 0; i < block->size(); ++i) {
        const uint32_t row = block->dense ? static_cast<uint32_t>(i) : block->rows[i];
        bool has = false;
        bool hit = false;
        for (const OverflowAttribute& item : overflow_attributes(block->strings[block->codes[i]])) {
            if (item.attribute.key != key_) continue;
            has = true;
            hit = test != nullptr && test->on_message(item.attribute.value.message);
        }
        if (has) cells.has.set(row);
        if (hit) cells.hit.set(row);
    }
    return {};
}

Result<Cells> AttributeCells::find(GroupReader& group, const ValueTest* test,
                                   const RowBitmap* among) {
    const uint32_t rows = group.table_rows(table_);
    Cells cells{RowBitmap(rows), RowBitmap(rows)};
    if (rows == 0) return cells;
    TRY_ASSIGN(const std::vector<RowBitmap> ignored, rows_to_ignore(group));
    for (size_t i = 0; i < columns_.size(); ++i) {
        TRY_ASSIGN(const ColumnBlock* block, group.block(columns_[i]));
        mark_rows(*block, cells.has);
        if (test == nullptr) continue;
        test_column(reader_.segment().columns()[columns_[i]], *block, *test, verdicts_[i], among,
                    ignored.empty() ? nullptr : &ignored[i], cells.hit);
    }
    if (overflow_ != kNoColumn) TRY(find_overflow(group, test, cells));
    return cells;
}

Result<Value> AttributeCells::value(GroupReader& group, uint32_t row) {
    std::vector<std::pair<uint32_t, uint32_t>> found;  // column, position
    for (const uint32_t column : columns_) {
        TRY_ASSIGN(const ColumnBlock* block, group.block(column));
        if (const auto position = position_of(*block, row)) found.emplace_back(column, *position);
    }
    if (found.empty() && overflow_ != kNoColumn) {
        TRY_ASSIGN(const ColumnBlock* block, group.block(overflow_));
        const auto position = position_of(*block, row);
        Value last;
        if (!position) return last;
        for (const auto& item : overflow_attributes(block->strings[block->codes[*position]])) {
            if (item.attribute.key == key_) last = value_of(item.attribute.value);
        }
        return last;
    }
    if (found.empty()) return Value::nil();
    auto chosen = found.front();
    if (found.size() > 1) {
        TRY_ASSIGN(const uint32_t last, winner(group, row));
        for (const auto& candidate : found) {
            if (candidate.first == last) chosen = candidate;
        }
    }
    TRY_ASSIGN(const ColumnBlock* block, group.block(chosen.first));
    return value_at(reader_.segment().columns()[chosen.first], *block, chosen.second);
}

}  // namespace spanloom::store
