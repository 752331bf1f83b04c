#include "store/field_reader.h"

#include <algorithm>

#include "store/predicate_node.h"

namespace spanloom::store {
namespace {

template <typename View>
Value last_value(const View& view, std::string_view key) {
    Value value;
    for (const otlp::AttributeView attribute : view.attributes()) {
        if (attribute.key == key) value = value_of(attribute.value);
    }
    return value;
}

}  // namespace

Value scope_value(const Segment& segment, const Field& field, Scope scope, uint32_t scope_index) {
    if (scope_index >= segment.scope_count()) return Value::nil();
    if (scope == Scope::kResource) {
        const uint32_t resource = segment.scope_resource(scope_index);
        if (resource >= segment.resource_count()) return Value::nil();
        return last_value(otlp::ResourceView::parse(segment.resource_message(resource)), field.key);
    }
    const auto view = otlp::ScopeView::parse(segment.scope_message(scope_index));
    if (field.scope != Scope::kIntrinsic) return last_value(view, field.key);
    const bool is_name = field.intrinsic == Intrinsic::kInstrumentationName;
    const std::string_view text = is_name ? view.name : view.version;
    return text.empty() ? Value::nil() : Value::of_string(std::string(text));
}

FieldReader::FieldReader(SegmentReader& reader, const Field& field)
    : reader_(reader), field_(field) {
    const bool any = field.scope == Scope::kAny;
    const auto cells = [&](Table table) {
        return std::make_unique<AttributeCells>(reader, table, field.key);
    };
    if (any || field.scope == Scope::kSpan) of_spans_ = cells(Table::kSpans);
    if (any || field.scope == Scope::kEvent) of_events_ = cells(Table::kEvents);
    if (any || field.scope == Scope::kLink) of_links_ = cells(Table::kLinks);
    if (field.scope == Scope::kIntrinsic && !field.is_trace_level()) {
        intrinsic_ = std::make_unique<IntrinsicCells>(reader, field.intrinsic);
    }
}

AttributeCells* FieldReader::cells_of(Table table) {
    return table == Table::kEvents ? of_events_.get() : of_links_.get();
}

Result<uint32_t> FieldReader::scope_of(GroupReader& group, uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* scopes,
               group.block(reader_.column(Table::kSpans, RowField::kScopeIndex)));
    const auto position = position_of(*scopes, row);
    if (!position || *position >= scopes->integers.size()) return UINT32_MAX;
    return static_cast<uint32_t>(scopes->integers[*position]);
}

Result<Value> FieldReader::of_scope(GroupReader& group, uint32_t row, Scope scope) {
    TRY_ASSIGN(const uint32_t index, scope_of(group, row));
    return scope_value(reader_.segment(), field_, scope, index);
}

Result<Value> FieldReader::of_children(GroupReader& group, uint32_t row, Table table) {
    if (group.table_rows(table) == 0) return Value::nil();
    TRY_ASSIGN(const ColumnBlock* owners, group.block(reader_.column(table, RowField::kOwner)));
    const auto range = std::equal_range(owners->integers.begin(), owners->integers.end(),
                                        static_cast<int64_t>(row));
    for (auto at = range.first; at != range.second; ++at) {
        const auto child = static_cast<uint32_t>(at - owners->integers.begin());
        Value found;
        if (intrinsic_ != nullptr) {
            TRY_ASSIGN(found, intrinsic_->value(group, child));
        } else {
            TRY_ASSIGN(found, cells_of(table)->value(group, child));
        }
        if (found.kind != ValueKind::kNil) return found;
    }
    return Value::nil();
}

Result<Value> FieldReader::of_any(GroupReader& group, uint32_t row) {
    if (!of_spans_->is_empty()) {
        TRY_ASSIGN(Value own, of_spans_->value(group, row));
        if (own.kind != ValueKind::kNil) return own;
    }
    TRY_ASSIGN(Value resource, of_scope(group, row, Scope::kResource));
    if (resource.kind != ValueKind::kNil) return resource;
    for (const Table table : {Table::kEvents, Table::kLinks}) {
        if (cells_of(table)->is_empty()) continue;
        TRY_ASSIGN(Value child, of_children(group, row, table));
        if (child.kind != ValueKind::kNil) return child;
    }
    return of_scope(group, row, Scope::kInstrumentation);
}

Result<Value> FieldReader::value(GroupReader& group, uint32_t row, const TraceId& trace_id) {
    switch (field_.scope) {
        case Scope::kSpan:
            return of_spans_->value(group, row);
        case Scope::kEvent:
            return of_children(group, row, Table::kEvents);
        case Scope::kLink:
            return of_children(group, row, Table::kLinks);
        case Scope::kResource:
        case Scope::kInstrumentation:
            return of_scope(group, row, field_.scope);
        case Scope::kAny:
            return of_any(group, row);
        case Scope::kIntrinsic:
            break;
    }
    if (field_.is_trace_level() || field_.intrinsic == Intrinsic::kNone) return Value::nil();
    if (field_.intrinsic == Intrinsic::kTraceId) return Value::of_string(trace_id.hex());
    if (field_.intrinsic == Intrinsic::kInstrumentationName ||
        field_.intrinsic == Intrinsic::kInstrumentationVersion) {
        return of_scope(group, row, Scope::kInstrumentation);
    }
    const Table table = table_of(field_);
    if (table != Table::kSpans) return of_children(group, row, table);
    return intrinsic_->value(group, row);
}

}  // namespace spanloom::store
