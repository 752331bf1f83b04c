#include "store/trace_writer.h"

#include <algorithm>
#include <cstring>

#include "otlp/writer.h"

namespace spanloom::store {
namespace {

// The rows of a child table that belong to one span, as [first, second).
std::pair<uint32_t, uint32_t> children_of(const ColumnBlock& owners, uint32_t row) {
    const auto range =
        std::equal_range(owners.integers.begin(), owners.integers.end(), static_cast<int64_t>(row));
    return {static_cast<uint32_t>(range.first - owners.integers.begin()),
            static_cast<uint32_t>(range.second - owners.integers.begin())};
}

void write_text(otlp::WireWriter& wire, uint32_t field, std::string_view text) {
    if (!text.empty()) wire.bytes_field(field, text);
}
void write_count(otlp::WireWriter& wire, uint32_t field, int64_t count) {
    if (count != 0) wire.varint_field(field, static_cast<uint64_t>(count));
}

constexpr size_t varint_bytes(uint64_t value) {
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7)
        ++bytes;
    return bytes;
}

void append_varint(std::string& out, uint64_t value) {
    char bytes[10];
    size_t size = 0;
    while (value >= 0x80) {
        bytes[size++] = static_cast<char>((value & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes[size++] = static_cast<char>(value);
    out.append(bytes, size);
}

constexpr uint32_t kKeyField = 1;
constexpr uint32_t kValueTag = 2 << 3 | 2;

// A KeyValue whose key is there already, with the tag of the value behind it.
void write_key_value(std::string_view key, std::string_view any_value, uint32_t field,
                     std::string& out) {
    append_varint(out, field << 3 | 2);
    append_varint(out, key.size() + varint_bytes(any_value.size()) + any_value.size());
    out.append(key);
    append_varint(out, any_value.size());
    out.append(any_value);
}
// The same, where the value is a text.
void write_key_text(std::string_view key, std::string_view text, uint32_t field, std::string& out) {
    const size_t value = 1 + varint_bytes(text.size()) + text.size();
    append_varint(out, field << 3 | 2);
    append_varint(out, key.size() + varint_bytes(value) + value);
    out.append(key);
    append_varint(out, value);
    otlp::WireWriter(out).bytes_field(1, text);
}

std::string key_of(std::string_view key) {
    std::string out;
    otlp::WireWriter(out).bytes_field(kKeyField, key);
    append_varint(out, kValueTag);
    return out;
}

}  // namespace

void ColumnCursor::move_to(uint32_t row) {
    if (at_ > 0 && rows_[at_ - 1] >= row) {
        at_ = static_cast<uint32_t>(std::lower_bound(rows_, rows_ + at_, row) - rows_);
        return;
    }
    ++at_;
    if (at_ < size_ && rows_[at_] < row)
        at_ = static_cast<uint32_t>(std::lower_bound(rows_ + at_, rows_ + size_, row) - rows_);
}

SpanWriter::SpanWriter(SegmentReader& reader) : reader_(reader) {}

template <typename Field>
Result<ColumnCursor> SpanWriter::cursor(Table table, Field field) {
    TRY_ASSIGN(const ColumnBlock* block, group_->block(reader_.column(table, field)));
    return ColumnCursor(*block);
}

Result<void> SpanWriter::open(GroupReader& group) {
    group_ = &group;
    attributes_.resize(reader_.segment().columns().size());
    for (const uint32_t column : opened_)
        attributes_[column].cursor = {};
    opened_.clear();
    TRY(open_spans());
    if (group.rows().events > 0) TRY(open_events());
    if (group.rows().links > 0) TRY(open_links());
    return {};
}

Result<void> SpanWriter::open_rows(Table table, Rows& rows) {
    TRY_ASSIGN(rows.order, cursor(table, RowField::kAttributeOrder));
    TRY_ASSIGN(rows.overflow, cursor(table, RowField::kOverflow));
    TRY_ASSIGN(rows.dropped_attributes, cursor(table, RowField::kDroppedAttributes));
    const auto orders = rows.order.block()->strings;
    if (rows.orders == orders.data() && rows.steps.size() == orders.size()) return {};
    rows.orders = orders.data();
    rows.steps.assign(orders.size(), nullptr);
    return {};
}

Result<void> SpanWriter::open_spans() {
    constexpr Table kTable = Table::kSpans;
    TRY_ASSIGN(spans_.id, cursor(kTable, Intrinsic::kSpanId));
    TRY_ASSIGN(spans_.state, cursor(kTable, Intrinsic::kTraceState));
    TRY_ASSIGN(spans_.parent, cursor(kTable, Intrinsic::kParentId));
    TRY_ASSIGN(spans_.name, cursor(kTable, Intrinsic::kName));
    TRY_ASSIGN(spans_.kind, cursor(kTable, Intrinsic::kKind));
    TRY_ASSIGN(spans_.start, cursor(kTable, Intrinsic::kStart));
    TRY_ASSIGN(spans_.duration, cursor(kTable, Intrinsic::kDuration));
    TRY_ASSIGN(spans_.dropped_events, cursor(kTable, RowField::kDroppedEvents));
    TRY_ASSIGN(spans_.dropped_links, cursor(kTable, RowField::kDroppedLinks));
    TRY_ASSIGN(spans_.message, cursor(kTable, Intrinsic::kStatusMessage));
    TRY_ASSIGN(spans_.status, cursor(kTable, Intrinsic::kStatus));
    TRY_ASSIGN(spans_.flags, cursor(kTable, RowField::kFlags));
    return open_rows(kTable, span_rows_);
}

Result<void> SpanWriter::open_events() {
    constexpr Table kTable = Table::kEvents;
    TRY_ASSIGN(events_.owner, cursor(kTable, RowField::kOwner));
    TRY_ASSIGN(events_.since, cursor(kTable, Intrinsic::kEventTimeSinceStart));
    TRY_ASSIGN(events_.name, cursor(kTable, Intrinsic::kEventName));
    return open_rows(kTable, event_rows_);
}

Result<void> SpanWriter::open_links() {
    constexpr Table kTable = Table::kLinks;
    TRY_ASSIGN(links_.owner, cursor(kTable, RowField::kOwner));
    TRY_ASSIGN(links_.trace, cursor(kTable, Intrinsic::kLinkTraceId));
    TRY_ASSIGN(links_.span, cursor(kTable, Intrinsic::kLinkSpanId));
    TRY_ASSIGN(links_.state, cursor(kTable, Intrinsic::kTraceState));
    TRY_ASSIGN(links_.flags, cursor(kTable, RowField::kFlags));
    return open_rows(kTable, link_rows_);
}

// Rows share few orders: each is taken apart once.
Result<const SpanWriter::Steps*> SpanWriter::steps_of(Rows& rows, uint32_t row) {
    static const Steps kNone;
    const uint32_t position = rows.order.find(row);
    if (position == ColumnCursor::kNowhere) return &kNone;
    const uint32_t code = rows.order.block()->codes[position];
    if (rows.steps[code] != nullptr) return rows.steps[code];
    const std::string_view sequence = rows.order.block()->strings[code];
    const auto [known, is_new] = known_orders_.try_emplace(std::string(sequence));
    Steps& steps = known->second;
    if (is_new) {
        for (size_t at = 0; at + 4 <= sequence.size(); at += 4) {
            Step step;
            std::memcpy(&step.column, sequence.data() + at, 4);
            step.repeat = static_cast<uint32_t>(
                std::count_if(steps.begin(), steps.end(),
                              [&](const Step& other) { return other.column == step.column; }));
            steps.push_back(step);
        }
    }
    for (const Step& step : steps) {
        if (step.column >= attributes_.size()) {
            return fail(ErrorCode::kDataLoss, "a span names attribute column {} of {}", step.column,
                        attributes_.size());
        }
    }
    rows.steps[code] = &steps;
    return &steps;
}

Result<void> SpanWriter::write_attribute(const Step& step, uint32_t row, uint32_t field,
                                         std::string& out) {
    AttributeColumn& column = attributes_[step.column];
    const ColumnKey& key = reader_.segment().columns()[step.column];
    if (column.cursor.block() == nullptr) {
        TRY_ASSIGN(const ColumnBlock* block, group_->block(step.column));
        column.cursor = ColumnCursor(*block);
        if (column.key.empty()) column.key = key_of(key.key);
        opened_.push_back(step.column);
    }
    const ColumnBlock& block = *column.cursor.block();
    uint32_t position = column.cursor.find(row);
    if (position != ColumnCursor::kNowhere && !block.dense) position += step.repeat;
    if (position >= block.size() || (!block.dense && block.rows[position] != row)) {
        return fail(ErrorCode::kDataLoss, "attribute {} of a span has no value in its column",
                    key.key);
    }
    switch (key.type) {
        case ColumnType::kInt: {
            const auto value = static_cast<uint64_t>(block.integers[position]);
            append_varint(out, field << 3 | 2);
            const size_t bytes = 1 + varint_bytes(value);
            append_varint(out, column.key.size() + 1 + bytes);
            out.append(column.key);
            out += static_cast<char>(bytes);
            otlp::WireWriter(out).varint_field(key.is_boolean ? 2 : 3, value);
            break;
        }
        case ColumnType::kDouble: {
            append_varint(out, field << 3 | 2);
            append_varint(out, column.key.size() + 1 + 9);
            out.append(column.key);
            out += static_cast<char>(9);
            otlp::WireWriter(out).double_field(4, block.numbers[position]);
            break;
        }
        case ColumnType::kValue:
            write_key_value(column.key, column.cursor.bytes_at(position), field, out);
            break;
        default:
            write_key_text(column.key, column.cursor.bytes_at(position), field, out);
            break;
    }
    return {};
}

Result<void> SpanWriter::write_attributes(Rows& rows, uint32_t row, uint32_t field,
                                          std::string& out) {
    TRY_ASSIGN(const Steps* steps, steps_of(rows, row));
    const uint32_t spilled = rows.overflow.find(row);
    if (spilled == ColumnCursor::kNowhere) {
        for (const Step& step : *steps)
            TRY(write_attribute(step, row, field, out));
        return {};
    }
    const auto overflow = overflow_attributes(rows.overflow.bytes_at(spilled));
    const auto write_spilled = [&](const OverflowAttribute& spilled_one) {
        const auto& attribute = spilled_one.attribute;
        write_key_value(key_of(attribute.key), attribute.value.message, field, out);
    };
    size_t next = 0;
    uint32_t at = 0;
    for (const Step& step : *steps) {
        for (; next < overflow.size() && overflow[next].position <= at; ++at)
            write_spilled(overflow[next++]);
        TRY(write_attribute(step, row, field, out));
        ++at;
    }
    for (; next < overflow.size(); ++next)
        write_spilled(overflow[next]);
    return {};
}

Result<void> SpanWriter::write_events(uint32_t row, uint64_t start_ns, std::string& out) {
    if (group_->rows().events == 0) return {};
    const auto [first, end] = children_of(*events_.owner.block(), row);
    for (uint32_t event = first; event < end; ++event) {
        child_.clear();
        otlp::WireWriter wire(child_);
        wire.fixed64_field(1, start_ns + static_cast<uint64_t>(events_.since.integer(event)));
        write_text(wire, 2, events_.name.bytes(event));
        TRY(write_attributes(event_rows_, event, 3, child_));
        write_count(wire, 4, event_rows_.dropped_attributes.integer(event));
        otlp::WireWriter(out).bytes_field(11, child_);
    }
    return {};
}

Result<void> SpanWriter::write_links(uint32_t row, std::string& out) {
    if (group_->rows().links == 0) return {};
    const auto [first, end] = children_of(*links_.owner.block(), row);
    for (uint32_t link = first; link < end; ++link) {
        child_.clear();
        otlp::WireWriter wire(child_);
        write_text(wire, 1, links_.trace.bytes(link));
        write_text(wire, 2, links_.span.bytes(link));
        write_text(wire, 3, links_.state.bytes(link));
        TRY(write_attributes(link_rows_, link, 4, child_));
        write_count(wire, 5, link_rows_.dropped_attributes.integer(link));
        const int64_t flags = links_.flags.integer(link);
        if (flags != 0) wire.fixed32_field(6, static_cast<uint32_t>(flags));
        otlp::WireWriter(out).bytes_field(13, child_);
    }
    return {};
}

Result<void> SpanWriter::write_row(uint32_t row, const TraceId& trace_id, std::string& out) {
    const auto start_ns = static_cast<uint64_t>(spans_.start.integer(row));
    otlp::WireWriter wire(out);
    wire.bytes_field(1, trace_id.view());
    wire.bytes_field(2, spans_.id.bytes(row));
    write_text(wire, 3, spans_.state.bytes(row));
    write_text(wire, 4, spans_.parent.bytes(row));
    write_text(wire, 5, spans_.name.bytes(row));
    write_count(wire, 6, spans_.kind.integer(row));
    wire.fixed64_field(7, start_ns);
    wire.fixed64_field(8, start_ns + static_cast<uint64_t>(spans_.duration.integer(row)));
    TRY(write_attributes(span_rows_, row, 9, out));
    write_count(wire, 10, span_rows_.dropped_attributes.integer(row));
    TRY(write_events(row, start_ns, out));
    write_count(wire, 12, spans_.dropped_events.integer(row));
    TRY(write_links(row, out));
    write_count(wire, 14, spans_.dropped_links.integer(row));
    const std::string_view message = spans_.message.bytes(row);
    const int64_t code = spans_.status.integer(row);
    if (code != 0 || !message.empty()) {
        status_.clear();
        otlp::WireWriter status(status_);
        write_text(status, 2, message);
        write_count(status, 3, code);
        wire.bytes_field(15, status_);
    }
    const int64_t flags = spans_.flags.integer(row);
    if (flags != 0) wire.fixed32_field(16, static_cast<uint32_t>(flags));
    return {};
}

Result<void> SpanWriter::write(GroupReader& group, uint32_t row, const TraceId& trace_id,
                               std::string& out) {
    TRY(open(group));
    return write_row(row, trace_id, out);
}

}  // namespace spanloom::store
