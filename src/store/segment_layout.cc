#include "store/segment_layout.h"

namespace spanloom::store {
namespace {

ColumnKey intrinsic(Table table, Intrinsic intrinsic, ColumnType type) {
    ColumnKey key;
    key.table = table;
    key.intrinsic = intrinsic;
    key.type = type;
    return key;
}
ColumnKey row_field(Table table, RowField field, ColumnType type) {
    ColumnKey key;
    key.table = table;
    key.row_field = field;
    key.type = type;
    return key;
}

std::vector<ColumnKey> make_fixed_columns() {
    using enum ColumnType;
    constexpr Table kS = Table::kSpans;
    constexpr Table kE = Table::kEvents;
    constexpr Table kL = Table::kLinks;
    return {
        intrinsic(kS, Intrinsic::kSpanId, kFixed),
        intrinsic(kS, Intrinsic::kParentId, kFixed),
        intrinsic(kS, Intrinsic::kStart, kInt),
        intrinsic(kS, Intrinsic::kDuration, kInt),
        intrinsic(kS, Intrinsic::kName, kString),
        intrinsic(kS, Intrinsic::kKind, kInt),
        intrinsic(kS, Intrinsic::kStatus, kInt),
        intrinsic(kS, Intrinsic::kStatusMessage, kString),
        row_field(kS, RowField::kFlags, kInt),
        intrinsic(kS, Intrinsic::kTraceState, kString),
        row_field(kS, RowField::kDroppedAttributes, kInt),
        row_field(kS, RowField::kDroppedEvents, kInt),
        row_field(kS, RowField::kDroppedLinks, kInt),
        row_field(kS, RowField::kScopeIndex, kInt),
        row_field(kS, RowField::kAttributeOrder, kString),
        row_field(kS, RowField::kOverflow, kValue),
        row_field(kE, RowField::kOwner, kInt),
        intrinsic(kE, Intrinsic::kEventTimeSinceStart, kInt),
        intrinsic(kE, Intrinsic::kEventName, kString),
        row_field(kE, RowField::kDroppedAttributes, kInt),
        row_field(kE, RowField::kAttributeOrder, kString),
        row_field(kE, RowField::kOverflow, kValue),
        row_field(kL, RowField::kOwner, kInt),
        intrinsic(kL, Intrinsic::kLinkTraceId, kFixed),
        intrinsic(kL, Intrinsic::kLinkSpanId, kFixed),
        intrinsic(kL, Intrinsic::kTraceState, kString),
        row_field(kL, RowField::kFlags, kInt),
        row_field(kL, RowField::kDroppedAttributes, kInt),
        row_field(kL, RowField::kAttributeOrder, kString),
        row_field(kL, RowField::kOverflow, kValue),
    };
}

}  // namespace

const std::vector<ColumnKey>& fixed_columns() {
    static const std::vector<ColumnKey> columns = make_fixed_columns();
    return columns;
}

uint32_t order_column(Table table) {
    return table == Table::kSpans    ? kColumnOrder
           : table == Table::kEvents ? kColumnEventOrder
                                     : kColumnLinkOrder;
}
uint32_t overflow_column(Table table) {
    return table == Table::kSpans    ? kColumnOverflow
           : table == Table::kEvents ? kColumnEventOverflow
                                     : kColumnLinkOverflow;
}

}  // namespace spanloom::store
