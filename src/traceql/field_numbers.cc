#include "traceql/field_numbers.h"

#include <algorithm>

#include "store/attribute_cells.h"
#include "store/intrinsic_cells.h"
#include "store/predicate_node.h"
#include "traceql/series.h"

namespace spanloom::traceql {

using store::ColumnBlock;
using store::ColumnType;
using store::Field;
using store::GroupReader;
using store::Intrinsic;
using store::RowField;
using store::Scope;
using store::SegmentReader;
using store::Table;
using store::Value;
using store::ValueKind;

namespace {

Value absent_value(const Field& field) {
    if (field.scope != Scope::kIntrinsic) return Value::nil();
    if (field.intrinsic == Intrinsic::kStatus) return Value::of_status(otlp::StatusCode::kUnset);
    if (field.intrinsic == Intrinsic::kKind) return Value::of_kind(otlp::SpanKind::kUnspecified);
    return Value::of_string("");
}

bool is_of_scope(const SegmentReader& reader, const Field& field) {
    if (field.scope == Scope::kResource || field.scope == Scope::kInstrumentation) return true;
    if (field.scope != Scope::kAny) return false;
    // Where no span, event or link of the segment has the key, only resources and scopes can.
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks}) {
        if (reader.column(table, RowField::kOverflow) != store::kNoColumn ||
            !reader.attribute_columns(table, field.key).empty())
            return false;
    }
    return true;
}

}  // namespace

std::optional<uint32_t> only_column(const SegmentReader& reader, const Field& field) {
    if (field.scope == Scope::kSpan) {
        if (reader.column(Table::kSpans, RowField::kOverflow) != store::kNoColumn)
            return std::nullopt;
        const std::vector<uint32_t> columns = reader.attribute_columns(Table::kSpans, field.key);
        if (columns.size() > 1) return std::nullopt;
        return columns.empty() ? store::kNoColumn : columns[0];
    }
    switch (field.scope == Scope::kIntrinsic ? field.intrinsic : Intrinsic::kNone) {
        case Intrinsic::kName:
        case Intrinsic::kStatus:
        case Intrinsic::kStatusMessage:
        case Intrinsic::kKind:
            return reader.column(Table::kSpans, field.intrinsic);
        default:
            return std::nullopt;
    }
}

uint32_t ValueNumbers::number_of(const Value& value) {
    key_.clear();
    append_key(key_, value);
    const auto [at, is_new] = numbers_.try_emplace(key_, static_cast<uint32_t>(values_.size()));
    if (is_new) values_.push_back(value);
    return at->second;
}

bool FieldNumbers::can_read(const Expression& field) {
    return field.kind == Expression::Kind::kField && !field.is_parent &&
           !field.field.is_trace_level() && field.field.intrinsic != Intrinsic::kTraceId;
}

FieldNumbers::FieldNumbers(SegmentReader& reader, const Field& field, ValueNumbers& numbers)
    : reader_(reader),
      field_(field),
      numbers_(numbers),
      values_(reader, field),
      is_of_scope_(is_of_scope(reader, field)),
      column_(only_column(reader, field)),
      absent_(numbers.number_of(absent_value(field))) {
    if (is_of_scope_) by_scope_.assign(reader.segment().scope_count(), UINT32_MAX);
}

Result<void> FieldNumbers::read(GroupReader& group, std::span<const uint32_t> rows,
                                std::vector<uint32_t>& out) {
    out.resize(rows.size());
    if (is_of_scope_) return read_scopes(group, rows, out);
    if (column_) return read_column(group, rows, out);
    for (size_t i = 0; i < rows.size(); ++i) {
        TRY_ASSIGN(Value value, values_.value(group, rows[i], {}));
        const bool is_text = value.kind == ValueKind::kNil && field_.scope == Scope::kIntrinsic &&
                             store::table_of(field_) == Table::kSpans;
        out[i] = is_text ? absent_ : numbers_.number_of(value);
    }
    return {};
}

Result<void> FieldNumbers::read_scopes(GroupReader& group, std::span<const uint32_t> rows,
                                       std::vector<uint32_t>& out) {
    TRY_ASSIGN(const ColumnBlock* scopes,
               group.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i] >= scopes->integers.size())
            return fail(ErrorCode::kDataLoss, "spans without scope");
        const auto scope = static_cast<uint64_t>(scopes->integers[rows[i]]);
        if (scope >= by_scope_.size()) return fail(ErrorCode::kDataLoss, "spans without scope");
        if (by_scope_[scope] == UINT32_MAX) {
            const auto index = static_cast<uint32_t>(scope);
            Value value = store::scope_value(
                reader_.segment(), field_,
                field_.scope == Scope::kAny ? Scope::kResource : field_.scope, index);
            if (value.kind == ValueKind::kNil && field_.scope == Scope::kAny)
                value =
                    store::scope_value(reader_.segment(), field_, Scope::kInstrumentation, index);
            by_scope_[scope] = numbers_.number_of(value);
        }
        out[i] = by_scope_[scope];
    }
    return {};
}

Value FieldNumbers::value_at(const ColumnBlock& block, uint32_t position) const {
    if (field_.scope == Scope::kIntrinsic && field_.intrinsic == Intrinsic::kStatus)
        return Value::of_status(static_cast<otlp::StatusCode>(block.integers[position]));
    if (field_.scope == Scope::kIntrinsic && field_.intrinsic == Intrinsic::kKind)
        return Value::of_kind(static_cast<otlp::SpanKind>(block.integers[position]));
    return store::value_at(reader_.segment().columns()[*column_], block, position);
}

Result<void> FieldNumbers::read_column(GroupReader& group, std::span<const uint32_t> rows,
                                       std::vector<uint32_t>& out) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(*column_));
    const bool has_codes = block->type == ColumnType::kString || block->type == ColumnType::kValue;
    if (block->size() == 0) {
        std::fill(out.begin(), out.end(), absent_);
        return {};
    }
    const bool is_known = has_codes && block->strings.data() == strings_ &&
                          block->owner == dictionary_ && dictionary_ != nullptr &&
                          by_code_.size() == block->strings.size();
    if (has_codes && !is_known) {
        strings_ = block->strings.data();
        dictionary_ = block->owner;
        by_code_.assign(block->strings.size(), UINT32_MAX);
    }
    walk(
        *block, rows,
        [&](size_t i, uint32_t position) {
            if (!has_codes) {
                out[i] = numbers_.number_of(value_at(*block, position));
                return;
            }
            uint32_t& number = by_code_[block->codes[position]];
            if (number == UINT32_MAX) number = numbers_.number_of(value_at(*block, position));
            out[i] = number;
        },
        [&](size_t i) { out[i] = absent_; });
    return {};
}

}  // namespace spanloom::traceql
