#include "store/intrinsic_cells.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "store/predicate_node.h"

namespace spanloom::store {
namespace {

enum class Form : uint8_t { kNumber, kText, kId };

Form form_of(Intrinsic intrinsic) {
    switch (intrinsic) {
        case Intrinsic::kDuration:
        case Intrinsic::kStatus:
        case Intrinsic::kKind:
        case Intrinsic::kStart:
        case Intrinsic::kSampled:
        case Intrinsic::kEventTimeSinceStart:
            return Form::kNumber;
        case Intrinsic::kSpanId:
        case Intrinsic::kParentId:
        case Intrinsic::kLinkTraceId:
        case Intrinsic::kLinkSpanId:
            return Form::kId;
        default:
            return Form::kText;
    }
}

ValueKind kind_of(Intrinsic intrinsic) {
    switch (intrinsic) {
        case Intrinsic::kDuration:
        case Intrinsic::kEventTimeSinceStart:
            return ValueKind::kDuration;
        case Intrinsic::kStatus:
            return ValueKind::kStatus;
        case Intrinsic::kKind:
            return ValueKind::kSpanKind;
        case Intrinsic::kStart:
            return ValueKind::kInt;
        case Intrinsic::kSampled:
            return ValueKind::kBool;
        default:
            return ValueKind::kString;
    }
}

bool is_enumeration(Intrinsic intrinsic) {
    return intrinsic == Intrinsic::kStatus || intrinsic == Intrinsic::kKind ||
           intrinsic == Intrinsic::kSampled;
}

// What a stored number of an enumeration says; one that is not known says what 0 does.
int64_t enumerated(Intrinsic intrinsic, int64_t stored) {
    if (intrinsic == Intrinsic::kSampled) return stored & 1;
    const int64_t largest = intrinsic == Intrinsic::kStatus ? 2 : 5;
    return stored >= 0 && stored <= largest ? stored : 0;
}

uint32_t column_of(const SegmentReader& reader, Table table, Intrinsic intrinsic) {
    return intrinsic == Intrinsic::kSampled ? reader.column(table, RowField::kFlags)
                                            : reader.column(table, intrinsic);
}

bool any_negative(std::span<const int64_t> values) {
    uint64_t signs = 0;
    for (const int64_t value : values)
        signs |= static_cast<uint64_t>(value);
    return signs >> 63 != 0;
}

std::string hex_of(std::string_view bytes) {
    std::string text;
    append_hex(text, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    return text;
}

}  // namespace

int64_t duration_of(uint64_t start_ns, int64_t delta) {
    if (delta >= 0) return start_ns + static_cast<uint64_t>(delta) < start_ns ? 0 : delta;
    return start_ns + static_cast<uint64_t>(delta) > start_ns ? INT64_MAX : 0;
}

IntrinsicCells::IntrinsicCells(SegmentReader& reader, Intrinsic intrinsic)
    : reader_(reader),
      intrinsic_(intrinsic),
      table_(table_of({Scope::kIntrinsic, intrinsic, {}})),
      column_(column_of(reader, table_, intrinsic)) {}

bool IntrinsicCells::is_always_there() const {
    switch (intrinsic_) {
        case Intrinsic::kStatusMessage:
        case Intrinsic::kTraceState:
        case Intrinsic::kParentId:
            return false;
        default:
            return table_ == Table::kSpans;
    }
}

// Whether segments tell where the values that pass are.
bool IntrinsicCells::has_places(const ValueTest& test) const {
    if (test.comparison() != Comparison::kEqual || test.wanted().text.empty()) return false;
    switch (intrinsic_) {
        case Intrinsic::kName:
        case Intrinsic::kStatusMessage:
        case Intrinsic::kEventName:
            return test.fits(kind_of(intrinsic_));
        default:
            return false;
    }
}

bool IntrinsicCells::may_pass(const ValueTest& test) const {
    if (!test.fits(kind_of(intrinsic_))) return false;
    return !has_places(test) ||
           reader_.segment().may_contain({Scope::kIntrinsic, intrinsic_, {}}, test.wanted());
}

void IntrinsicCells::foresee(const ValueTest& test) const {
    if (has_places(test))
        reader_.segment().foresee_places_of({Scope::kIntrinsic, intrinsic_, {}}, test.wanted());
}

void IntrinsicCells::foresee_in(uint32_t row_group) const {
    if (column_ != kNoColumn) reader_.segment().foresee_block(column_, row_group);
}

bool IntrinsicCells::may_pass(const ValueTest& test, const RowGroup& group) const {
    const bool wants_more =
        test.comparison() == Comparison::kGreater || test.comparison() == Comparison::kGreaterEqual;
    if (intrinsic_ == Intrinsic::kDuration && wants_more) {
        return test.on_integer(ValueKind::kDuration, group.duration_ns_max);
    }
    if (intrinsic_ == Intrinsic::kStatus && test.comparison() == Comparison::kEqual) {
        const bool wants_error = test.wanted() == Value::of_status(otlp::StatusCode::kError);
        return !wants_error || group.has_error;
    }
    return true;
}

Result<int64_t> IntrinsicCells::number(GroupReader& group, const ColumnBlock& block,
                                       uint32_t row) const {
    const auto position = position_of(block, row);
    const int64_t stored = position ? block.integers[*position] : 0;
    switch (intrinsic_) {
        case Intrinsic::kStatus:
        case Intrinsic::kKind:
        case Intrinsic::kSampled:
            return enumerated(intrinsic_, stored);
        case Intrinsic::kStart:
            return stored < 0 ? INT64_MAX : stored;
        case Intrinsic::kDuration: {
            TRY_ASSIGN(const ColumnBlock* starts,
                       group.block(reader_.column(Table::kSpans, Intrinsic::kStart)));
            const auto at = position_of(*starts, row);
            return duration_of(at ? static_cast<uint64_t>(starts->integers[*at]) : 0, stored);
        }
        default:
            return stored;
    }
}

// Few numbers, each of which is tested once; rows without one have 0.
void IntrinsicCells::test_enumeration(const ColumnBlock& block, const ValueTest& test,
                                      RowBitmap& hit) const {
    constexpr size_t kNumbers = 6;
    std::array<bool, kNumbers> passes{};
    for (size_t number = 0; number < kNumbers; ++number)
        passes[number] = test.on_integer(kind_of(intrinsic_),
                                         enumerated(intrinsic_, static_cast<int64_t>(number)));
    const auto passes_at = [&](size_t position) {
        return passes[static_cast<size_t>(enumerated(intrinsic_, block.integers[position]))];
    };
    if (block.dense) {
        const size_t rows = std::min<size_t>(hit.rows(), block.integers.size());
        for (size_t row = 0; row < rows; ++row) {
            if (passes_at(row)) hit.set(static_cast<uint32_t>(row));
        }
        return;
    }
    RowBitmap without = passes[0] ? RowBitmap::all(hit.rows()) : RowBitmap(hit.rows());
    if (passes[0]) {
        RowBitmap with(hit.rows());
        for (const uint32_t row : block.rows)
            with.set(row);
        without.subtract(with);
    }
    hit |= without;
    for (size_t i = 0; i < block.rows.size(); ++i) {
        if (passes_at(i)) hit.set(block.rows[i]);
    }
}

Result<void> IntrinsicCells::test_numbers(GroupReader& group, const ColumnBlock& block,
                                          const ValueTest& test, const RowBitmap* among,
                                          RowBitmap& hit) const {
    const ValueKind kind = kind_of(intrinsic_);
    if (is_enumeration(intrinsic_)) {
        test_enumeration(block, test, hit);
        return {};
    }
    // Durations need the starts only where they wrap, which none of an honest sender do.
    const bool is_plain =
        block.dense && (intrinsic_ != Intrinsic::kDuration || !any_negative(block.integers));
    if (is_plain &&
        (intrinsic_ == Intrinsic::kDuration || intrinsic_ == Intrinsic::kEventTimeSinceStart)) {
        if (const auto range = test.integer_range(kind)) {
            select_range(block.integers, *range, hit);
            return {};
        }
        for (uint32_t row = 0; row < hit.rows(); ++row) {
            if (test.on_integer(kind, block.integers[row])) hit.set(row);
        }
        return {};
    }
    for (uint32_t row = 0; row < hit.rows(); ++row) {
        if (among != nullptr && !among->test(row)) continue;
        TRY_ASSIGN(const int64_t value, number(group, block, row));
        if (test.on_integer(kind, value)) hit.set(row);
    }
    return {};
}

void IntrinsicCells::test_ids(const ColumnBlock& block, const ValueTest& test,
                              const RowBitmap* among, RowBitmap& hit) const {
    const bool is_equal = test.comparison() == Comparison::kEqual && block.width > 0;
    std::string wanted(block.width, '\0');
    if (is_equal && !test.wanted().text.empty() &&
        !parse_hex(test.wanted().text, reinterpret_cast<uint8_t*>(wanted.data()), wanted.size())) {
        return;
    }
    const bool wants_none = test.wanted().text.empty();
    for (uint32_t row = 0; row < hit.rows(); ++row) {
        if (among != nullptr && !among->test(row)) continue;
        const auto position = position_of(block, row);
        if (!position) {
            if (test.on_string({})) hit.set(row);
            continue;
        }
        const std::string_view bytes =
            block.fixed.substr(size_t{*position} * block.width, block.width);
        const bool passes =
            is_equal ? !wants_none && bytes == wanted : test.on_string(hex_of(bytes));
        if (passes) hit.set(row);
    }
}

Result<Cells> IntrinsicCells::find(GroupReader& group, const ValueTest* test,
                                   const RowBitmap* among) {
    const uint32_t rows = group.table_rows(table_);
    Cells cells{RowBitmap(rows), RowBitmap(rows)};
    if (test == nullptr && (is_always_there() || table_ != Table::kSpans)) {
        cells.has.fill(0, rows);
        return cells;
    }
    TRY_ASSIGN(const ColumnBlock* block, group.block(column_));
    if (test == nullptr) {
        if (block->dense) cells.has.fill(0, rows);
        for (const uint32_t row : block->rows)
            cells.has.set(row);
        return cells;
    }
    switch (form_of(intrinsic_)) {
        case Form::kNumber:
            TRY(test_numbers(group, *block, *test, among, cells.hit));
            break;
        case Form::kId:
            test_ids(*block, *test, among, cells.hit);
            break;
        case Form::kText: {
            const ColumnKey key{table_, Scope::kIntrinsic,   intrinsic_, RowField::kNone,
                                {},     ColumnType::kString, false};
            test_column(key, *block, *test, verdicts_, among, nullptr, cells.hit);
            if (block->dense || !test->on_string({})) break;
            RowBitmap without = RowBitmap::all(rows);
            RowBitmap with(rows);
            for (const uint32_t row : block->rows)
                with.set(row);
            cells.hit |= without.subtract(with);
            break;
        }
    }
    return cells;
}

Result<Value> IntrinsicCells::value(GroupReader& group, uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(column_));
    if (form_of(intrinsic_) == Form::kNumber) {
        TRY_ASSIGN(const int64_t stored, number(group, *block, row));
        return Value{kind_of(intrinsic_), stored, 0, {}};
    }
    const auto position = position_of(*block, row);
    if (!position) return is_always_there() ? Value::of_string({}) : Value::nil();
    if (form_of(intrinsic_) == Form::kId) {
        return Value::of_string(
            hex_of(block->fixed.substr(size_t{*position} * block->width, block->width)));
    }
    return Value::of_string(std::string(block->strings[block->codes[*position]]));
}

}  // namespace spanloom::store
