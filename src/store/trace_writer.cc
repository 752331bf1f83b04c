#include "store/trace_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "otlp/writer.h"

namespace spanloom::store {
namespace {

std::string_view bytes_at(const ColumnBlock& block, uint32_t position) {
    if (block.type == ColumnType::kFixed) {
        return block.fixed.substr(size_t{position} * block.width, block.width);
    }
    return block.strings[block.codes[position]];
}

// The rows of a child table that belong to one span, as [first, second).
std::pair<uint32_t, uint32_t> children_of(const ColumnBlock& owners, uint32_t row) {
    const auto range =
        std::equal_range(owners.integers.begin(), owners.integers.end(), static_cast<int64_t>(row));
    return {static_cast<uint32_t>(range.first - owners.integers.begin()),
            static_cast<uint32_t>(range.second - owners.integers.begin())};
}

// How often an order of attributes names a column.
uint32_t times_named(std::string_view sequence, uint32_t column) {
    uint32_t times = 0;
    for (size_t at = 0; at + 4 <= sequence.size(); at += 4) {
        if (std::memcmp(sequence.data() + at, &column, 4) == 0) ++times;
    }
    return times;
}

void write_text(otlp::WireWriter& wire, uint32_t field, std::string_view text) {
    if (!text.empty()) wire.bytes_field(field, text);
}
void write_count(otlp::WireWriter& wire, uint32_t field, int64_t count) {
    if (count != 0) wire.varint_field(field, static_cast<uint64_t>(count));
}

}  // namespace

SpanWriter::SpanWriter(SegmentReader& reader) : reader_(reader) {}

Result<int64_t> SpanWriter::integer(GroupReader& group, Table table, Intrinsic intrinsic,
                                    uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(reader_.column(table, intrinsic)));
    const auto position = position_of(*block, row);
    return position ? block->integers[*position] : 0;
}

Result<int64_t> SpanWriter::integer(GroupReader& group, Table table, RowField row_field,
                                    uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(reader_.column(table, row_field)));
    const auto position = position_of(*block, row);
    return position ? block->integers[*position] : 0;
}

Result<std::string_view> SpanWriter::bytes(GroupReader& group, Table table, Intrinsic intrinsic,
                                           uint32_t row) {
    TRY_ASSIGN(const ColumnBlock* block, group.block(reader_.column(table, intrinsic)));
    const auto position = position_of(*block, row);
    return position ? bytes_at(*block, *position) : std::string_view();
}

void SpanWriter::write_key_value(std::string_view key, std::string_view any_value, uint32_t field,
                                 std::string& out) {
    key_value_.clear();
    otlp::WireWriter inner(key_value_);
    inner.bytes_field(1, key);
    inner.bytes_field(2, any_value);
    otlp::WireWriter(out).bytes_field(field, key_value_);
}

Result<void> SpanWriter::write_attribute(GroupReader& group, uint32_t column, uint32_t row,
                                         std::string_view before, uint32_t field,
                                         std::string& out) {
    const ColumnKey& key = reader_.segment().columns()[column];
    TRY_ASSIGN(const ColumnBlock* block, group.block(column));
    uint32_t position = row;
    if (!block->dense) {
        const auto first = std::lower_bound(block->rows.begin(), block->rows.end(), row);
        position = static_cast<uint32_t>(first - block->rows.begin());
        if (position + 1 < block->rows.size() && block->rows[position + 1] == row) {
            position += times_named(before, column);
        }
    }
    if (position >= block->size()) {
        return fail(ErrorCode::kDataLoss, "attribute {} of a span has no value in its column",
                    key.key);
    }
    if (key.type == ColumnType::kValue) {
        write_key_value(key.key, bytes_at(*block, position), field, out);
        return {};
    }
    any_value_.clear();
    otlp::WireWriter value(any_value_);
    switch (key.type) {
        case ColumnType::kInt:
            value.varint_field(key.is_boolean ? 2 : 3,
                               static_cast<uint64_t>(block->integers[position]));
            break;
        case ColumnType::kDouble:
            value.double_field(4, block->numbers[position]);
            break;
        default:
            value.bytes_field(1, bytes_at(*block, position));
            break;
    }
    write_key_value(key.key, any_value_, field, out);
    return {};
}

Result<void> SpanWriter::write_attributes(GroupReader& group, Table table, uint32_t row,
                                          uint32_t field, std::string& out) {
    TRY_ASSIGN(const ColumnBlock* order,
               group.block(reader_.column(table, RowField::kAttributeOrder)));
    TRY_ASSIGN(const ColumnBlock* spilled, group.block(reader_.column(table, RowField::kOverflow)));
    std::string_view sequence;
    if (const auto position = position_of(*order, row)) sequence = bytes_at(*order, *position);
    std::vector<OverflowAttribute> overflow;
    if (const auto position = position_of(*spilled, row)) {
        overflow = overflow_attributes(bytes_at(*spilled, *position));
    }
    const size_t columns = reader_.segment().columns().size();
    size_t next_overflow = 0;
    uint32_t at = 0;
    for (size_t offset = 0; offset + 4 <= sequence.size();) {
        if (next_overflow < overflow.size() && overflow[next_overflow].position <= at) {
            const auto& attribute = overflow[next_overflow++].attribute;
            write_key_value(attribute.key, attribute.value.message, field, out);
            ++at;
            continue;
        }
        uint32_t column = 0;
        std::memcpy(&column, sequence.data() + offset, 4);
        if (column >= columns) {
            return fail(ErrorCode::kDataLoss, "a span names attribute column {} of {}", column,
                        columns);
        }
        TRY(write_attribute(group, column, row, sequence.substr(0, offset), field, out));
        offset += 4;
        ++at;
    }
    for (; next_overflow < overflow.size(); ++next_overflow) {
        const auto& attribute = overflow[next_overflow].attribute;
        write_key_value(attribute.key, attribute.value.message, field, out);
    }
    return {};
}

Result<void> SpanWriter::write_events(GroupReader& group, uint32_t row, uint64_t start_ns,
                                      std::string& out) {
    if (group.rows().events == 0) return {};
    constexpr Table kTable = Table::kEvents;
    TRY_ASSIGN(const ColumnBlock* owners, group.block(reader_.column(kTable, RowField::kOwner)));
    const auto [first, end] = children_of(*owners, row);
    for (uint32_t event = first; event < end; ++event) {
        TRY_ASSIGN(const int64_t since,
                   integer(group, kTable, Intrinsic::kEventTimeSinceStart, event));
        TRY_ASSIGN(const std::string_view name, bytes(group, kTable, Intrinsic::kEventName, event));
        TRY_ASSIGN(const int64_t dropped,
                   integer(group, kTable, RowField::kDroppedAttributes, event));
        child_.clear();
        otlp::WireWriter wire(child_);
        wire.fixed64_field(1, start_ns + static_cast<uint64_t>(since));
        write_text(wire, 2, name);
        TRY(write_attributes(group, kTable, event, 3, child_));
        write_count(wire, 4, dropped);
        otlp::WireWriter(out).bytes_field(11, child_);
    }
    return {};
}

Result<void> SpanWriter::write_links(GroupReader& group, uint32_t row, std::string& out) {
    if (group.rows().links == 0) return {};
    constexpr Table kTable = Table::kLinks;
    TRY_ASSIGN(const ColumnBlock* owners, group.block(reader_.column(kTable, RowField::kOwner)));
    const auto [first, end] = children_of(*owners, row);
    for (uint32_t link = first; link < end; ++link) {
        TRY_ASSIGN(const std::string_view trace,
                   bytes(group, kTable, Intrinsic::kLinkTraceId, link));
        TRY_ASSIGN(const std::string_view span, bytes(group, kTable, Intrinsic::kLinkSpanId, link));
        TRY_ASSIGN(const std::string_view state,
                   bytes(group, kTable, Intrinsic::kTraceState, link));
        TRY_ASSIGN(const int64_t dropped,
                   integer(group, kTable, RowField::kDroppedAttributes, link));
        TRY_ASSIGN(const int64_t flags, integer(group, kTable, RowField::kFlags, link));
        child_.clear();
        otlp::WireWriter wire(child_);
        write_text(wire, 1, trace);
        write_text(wire, 2, span);
        write_text(wire, 3, state);
        TRY(write_attributes(group, kTable, link, 4, child_));
        write_count(wire, 5, dropped);
        if (flags != 0) wire.fixed32_field(6, static_cast<uint32_t>(flags));
        otlp::WireWriter(out).bytes_field(13, child_);
    }
    return {};
}

Result<void> SpanWriter::write(GroupReader& group, uint32_t row, const TraceId& trace_id,
                               std::string& out) {
    constexpr Table kTable = Table::kSpans;
    TRY_ASSIGN(const std::string_view span_id, bytes(group, kTable, Intrinsic::kSpanId, row));
    TRY_ASSIGN(const std::string_view state, bytes(group, kTable, Intrinsic::kTraceState, row));
    TRY_ASSIGN(const std::string_view parent, bytes(group, kTable, Intrinsic::kParentId, row));
    TRY_ASSIGN(const std::string_view name, bytes(group, kTable, Intrinsic::kName, row));
    TRY_ASSIGN(const int64_t kind, integer(group, kTable, Intrinsic::kKind, row));
    TRY_ASSIGN(const int64_t start, integer(group, kTable, Intrinsic::kStart, row));
    TRY_ASSIGN(const int64_t duration, integer(group, kTable, Intrinsic::kDuration, row));
    const auto start_ns = static_cast<uint64_t>(start);
    otlp::WireWriter wire(out);
    wire.bytes_field(1, trace_id.view());
    wire.bytes_field(2, span_id);
    write_text(wire, 3, state);
    write_text(wire, 4, parent);
    write_text(wire, 5, name);
    write_count(wire, 6, kind);
    wire.fixed64_field(7, start_ns);
    wire.fixed64_field(8, start_ns + static_cast<uint64_t>(duration));
    TRY(write_attributes(group, kTable, row, 9, out));
    TRY_ASSIGN(const int64_t attributes, integer(group, kTable, RowField::kDroppedAttributes, row));
    write_count(wire, 10, attributes);
    TRY(write_events(group, row, start_ns, out));
    TRY_ASSIGN(const int64_t events, integer(group, kTable, RowField::kDroppedEvents, row));
    write_count(wire, 12, events);
    TRY(write_links(group, row, out));
    TRY_ASSIGN(const int64_t links, integer(group, kTable, RowField::kDroppedLinks, row));
    write_count(wire, 14, links);
    TRY_ASSIGN(const std::string_view message,
               bytes(group, kTable, Intrinsic::kStatusMessage, row));
    TRY_ASSIGN(const int64_t code, integer(group, kTable, Intrinsic::kStatus, row));
    if (code != 0 || !message.empty()) {
        status_.clear();
        otlp::WireWriter status(status_);
        write_text(status, 2, message);
        write_count(status, 3, code);
        wire.bytes_field(15, status_);
    }
    TRY_ASSIGN(const int64_t flags, integer(group, kTable, RowField::kFlags, row));
    if (flags != 0) wire.fixed32_field(16, static_cast<uint32_t>(flags));
    return {};
}

}  // namespace spanloom::store
