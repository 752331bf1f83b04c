#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "store/segment.h"

// Names, numbers and limits of docs/format/segment.md that both writing and reading need.
namespace spanloom::store {

constexpr std::string_view kSegmentMagic = "SPLMSEG1";
constexpr uint32_t kSegmentVersion = 6;
constexpr uint32_t kSegmentVersionMin = 1;  // the oldest that can be read
constexpr size_t kTrailerBytes = 32;
constexpr size_t kChecksumBytes = 4;  // of a block: the lower half of its hash
// Before version 4 all of it.
constexpr size_t checksum_bytes(uint32_t version) {
    return version >= 4 ? kChecksumBytes : 8;
}

// Columns that every segment has, by number. Attribute columns follow.
enum FixedColumn : uint32_t {
    kColumnSpanId,
    kColumnParentId,
    kColumnStart,
    kColumnDuration,
    kColumnName,
    kColumnKind,
    kColumnStatus,
    kColumnStatusMessage,
    kColumnFlags,
    kColumnTraceState,
    kColumnDroppedAttributes,
    kColumnDroppedEvents,
    kColumnDroppedLinks,
    kColumnScope,
    kColumnOrder,
    kColumnOverflow,
    kColumnEventOwner,
    kColumnEventTime,
    kColumnEventName,
    kColumnEventDropped,
    kColumnEventOrder,
    kColumnEventOverflow,
    kColumnLinkOwner,
    kColumnLinkTraceId,
    kColumnLinkSpanId,
    kColumnLinkTraceState,
    kColumnLinkFlags,
    kColumnLinkDropped,
    kColumnLinkOrder,
    kColumnLinkOverflow,
    kFixedColumns,
};

// The fixed columns as Segment::columns() shows them.
const std::vector<ColumnKey>& fixed_columns();
uint32_t order_column(Table table);
uint32_t overflow_column(Table table);

// Whether a column has no row where its value is 0.
constexpr bool drops_zeros(uint32_t column) {
    switch (column) {
        case kColumnKind:
        case kColumnStatus:
        case kColumnFlags:
        case kColumnDroppedAttributes:
        case kColumnDroppedEvents:
        case kColumnDroppedLinks:
        case kColumnEventDropped:
        case kColumnLinkFlags:
        case kColumnLinkDropped:
            return true;
        default:
            return false;
    }
}

enum class TextForm : uint8_t { kShared = 1, kLocal = 2, kPlain = 3 };

// Of the trace ids of links: numbers of fragments, and the ids of those that are elsewhere.
constexpr uint8_t kReferencesForm = 3;
constexpr size_t kTraceIdBytes = 16;

// Of scopes: 0 that of the parent, which is a row before in the same group; else the scope + 1.
constexpr uint8_t kAsParentForm = 8;

// Links from a row to its parent, as ColumnBlock::integers has those of kColumnParentId.
constexpr int64_t kParentNone = 0;
constexpr int64_t kParentElsewhere = 1;  // the id follows
// The row of the parent, where it is before this one in the same group; else this row itself.
inline size_t parent_row(int64_t link, size_t row) {
    const auto distance = static_cast<uint64_t>(link) >> 1;
    return link > 0 && (link & 1) == 0 && distance <= row ? row - distance : row;
}

// What one segment may hold. Reaching a limit puts attributes into the overflow column.
constexpr uint32_t kColumnsMax = 4000;       // attribute columns, each costs memory everywhere
constexpr uint32_t kShapesMax = 65'536;      // distinct orders of attributes per table
constexpr size_t kShapeBytesMax = 4U << 20;  // of all orders of a table
constexpr uint32_t kShapeColumnsMax = 1024;  // attributes of one row that get columns
// Rows of a group: a reader allocates by them before it sees the values.
constexpr uint32_t kGroupRowsMax = 65'536;
constexpr uint32_t kGroupChildrenMax = 1U << 20;  // events, and links, of one group
constexpr uint32_t kChildrenPerSpanMax = 65'536;  // events, and links, of one span; more are cut
constexpr uint32_t kFragmentsPerChunk = 1024;
// A shared dictionary beyond this costs readers more than it saves.
constexpr uint32_t kDictionaryEntriesMax = 32'768;
constexpr size_t kDictionaryBytesMax = 1U << 20;

}  // namespace spanloom::store
