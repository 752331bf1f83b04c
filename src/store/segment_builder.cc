#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "base/text.h"
#include "otlp/wire.h"
#include "otlp/writer.h"
#include "store/segment.h"
#include "store/segment_layout.h"
#include "store/segment_rows.h"
#include "store/segment_text_table.h"
#include "store/segment_wire.h"
#include "store/segment_writer.h"

namespace spanloom::store {
namespace {

using otlp::WireReader;

constexpr uint32_t key_of(uint32_t field, uint32_t wire_type) {
    return field << 3 | wire_type;
}
uint32_t key_of(const WireReader& reader) {
    return key_of(reader.field(), reader.wire_type());
}

// One (table, key, type): an attribute column, and which one followed it last time. Spans of one
// place in the code have the same keys in the same order, so the next one is mostly foreseen.
struct Label {
    std::string key;
    ColumnType type = ColumnType::kInt;
    bool is_boolean = false;
    uint32_t column = 0;
    uint32_t next = UINT32_MAX;
};

ColumnType column_type(otlp::ValueType type) {
    switch (type) {
        case otlp::ValueType::kString:
            return ColumnType::kString;
        case otlp::ValueType::kBool:
        case otlp::ValueType::kInt:
            return ColumnType::kInt;
        case otlp::ValueType::kDouble:
            return ColumnType::kDouble;
        default:
            return ColumnType::kValue;
    }
}

// The texts of one column, each once, and the one that came last: many columns repeat it.
struct ColumnTexts {
    TextTable table;
    uint32_t last = TextTable::kNone;
};

// AttributeView::parse for the form that every sender uses, in line: key, then value, lengths in
// one or two bytes. False where the message has another form.
bool parse_usual(std::string_view message, otlp::AttributeView& out) {
    const auto* at = reinterpret_cast<const uint8_t*>(message.data());
    const uint8_t* const end = at + message.size();
    const auto length = [&](size_t& size) {
        if (end - at < 2) return false;
        size = *at++;
        if (size < 0x80) return true;
        if (*at >= 0x80) return false;
        size = (size & 0x7f) | size_t{*at++} << 7;
        return true;
    };
    size_t size = 0;
    if (message.size() < 6 || *at++ != 0x0a || !length(size) ||
        size + 4 > static_cast<size_t>(end - at))
        return false;
    out.key = {reinterpret_cast<const char*>(at), size};
    at += size;
    if (*at++ != 0x12 || !length(size) || size != static_cast<size_t>(end - at) || size < 3)
        return false;
    otlp::ValueView& value = out.value;
    value.message = {reinterpret_cast<const char*>(at), size};
    switch (*at++) {
        case 0x0a:
            value.type = otlp::ValueType::kString;
            if (!length(size) || size != static_cast<size_t>(end - at)) return false;
            value.bytes = {reinterpret_cast<const char*>(at), size};
            return true;
        case 0x18: {
            value.type = otlp::ValueType::kInt;
            uint64_t number = 0;
            for (uint32_t shift = 0; at < end && shift < 64; shift += 7) {
                number |= uint64_t{*at & 0x7fU} << shift;
                if (*at++ < 0x80) {
                    value.integer = static_cast<int64_t>(number);
                    return at == end;
                }
            }
            return false;
        }
        case 0x21:
            value.type = otlp::ValueType::kDouble;
            if (end - at != 8) return false;
            std::memcpy(&value.number, at, 8);
            return true;
        default:
            return false;
    }
}

struct SpanRow {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_id;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    int64_t kind = 0;
    uint64_t first_cell = 0;
    uint32_t name = 0;
    uint32_t trace_state = 0;
    uint32_t status_message = 0;
    uint32_t scope = 0;
    uint32_t order = 0;
    uint32_t overflow = 0;
    uint32_t flags = 0;
    uint32_t dropped_attributes = 0;
    uint32_t dropped_events = 0;
    uint32_t dropped_links = 0;
    uint32_t first_event = 0;
    uint32_t events = 0;
    uint32_t first_link = 0;
    uint32_t links = 0;
    uint8_t status = 0;
};

struct ChildRow {
    uint64_t time_ns = 0;  // events
    TraceId trace_id;      // links
    SpanId span_id;
    uint64_t first_cell = 0;
    uint32_t text = 0;  // name of the event, trace state of the link
    uint32_t order = 0;
    uint32_t overflow = 0;
    uint32_t flags = 0;
    uint32_t dropped_attributes = 0;
};

// Where the values of a row with some order of attributes go.
struct OrderPlan {
    struct Cell {
        std::vector<int64_t>* integers;
        std::vector<uint32_t>* codes;
    };
    std::vector<uint32_t> first;  // per order, and the end
    std::vector<Cell> cells;
};

}  // namespace

// Rows as they come, values of attributes end to end in `cells` (integers, bits of doubles, codes
// of texts); columns are made of them when the builder is finished.
struct SegmentBuilder::State {
    explicit State(SegmentOptions given)
        : options(std::move(given)), writer(std::make_unique<SegmentWriter>(options, image)) {
        for (uint32_t column = 0; column < kFixedColumns; ++column)
            grow_texts(column);
        for (const uint32_t column :
             {kColumnName, kColumnStatusMessage, kColumnTraceState, kColumnOverflow,
              kColumnEventName, kColumnEventOverflow, kColumnLinkTraceState, kColumnLinkOverflow})
            texts[column].table.intern({});  // code 0: none
    }

    void add_span(const Batch& batch, const SpanRef& ref, uint32_t scope);
    void read_status(std::string_view message, SpanRow& row);
    void add_event(std::string_view message);
    void add_link(std::string_view message);
    uint32_t scope_of(const Batch& batch, uint32_t index, std::vector<uint32_t>& known);

    void begin_attributes() {
        columns.clear();
        previous = UINT32_MAX;
        is_overflowing = false;
        cells_begin = cells.size();
    }
    void add_attribute(Table table, std::string_view message);
    // Sets order, overflow and first cell of the row; `message` has the attributes as `field`.
    template <typename Row>
    void end_attributes(Table table, Row& row, std::string_view message, uint32_t field);
    template <typename Row>
    void divide_attributes(Table table, Row& row, std::string_view message, uint32_t field);
    uint32_t label_of(Table table, std::string_view key, ColumnType type, bool is_boolean);
    uint64_t cell_of(const Label& label, const otlp::ValueView& value);
    uint32_t text_code(uint32_t column, std::string_view text);
    uint32_t value_code(uint32_t column, std::string_view message);
    void grow_texts(uint32_t column) {
        if (texts.size() <= column) texts.resize(column + 1);
    }

    void emit_span(const SpanRow& row);
    void emit_attributes(Table table, uint32_t order, uint64_t first_cell);
    void emit_children(const SpanRow& row, uint32_t owner);
    void prepare_orders();
    Result<Blob> finish();
    Result<void> write_rows();

    SegmentOptions options;
    std::string image;
    std::unique_ptr<SegmentWriter> writer;
    std::vector<SpanRow> spans;
    std::vector<ChildRow> events;
    std::vector<ChildRow> links;
    std::vector<uint64_t> cells;
    std::vector<Label> labels;
    std::array<uint32_t, 3> first_label = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    TextTable label_names;
    std::vector<ColumnTexts> texts;  // by column
    std::array<OrderPlan, 3> plans;  // by table, at the end

    // ---- of the row at hand
    std::vector<uint32_t> columns;
    uint32_t previous = UINT32_MAX;
    bool is_overflowing = false;
    uint64_t cells_begin = 0;
    std::vector<std::string_view> child_messages;  // events and links of the span at hand
    std::vector<uint8_t> child_is_event;
};

// ---- adding

uint32_t SegmentBuilder::State::text_code(uint32_t column, std::string_view text) {
    ColumnTexts& known = texts[column];
    TextTable& table = known.table;
    if (known.last != TextTable::kNone && table.text(known.last) == text) return known.last;
    const uint64_t hash = hash64(text);
    const uint32_t code = table.find(text, hash);
    if (code != TextTable::kNone) return known.last = code;
    if (is_valid_utf8(text)) return known.last = table.insert(text, hash);
    return known.last = table.intern(replace_invalid_utf8(text));
}

uint32_t SegmentBuilder::State::value_code(uint32_t column, std::string_view message) {
    switch (check_wire(message, WireMessage::kAnyValue)) {
        case WireState::kGood:
            return texts[column].table.intern(message);
        case WireState::kBadText:
            return texts[column].table.intern(with_valid_text(message, WireMessage::kAnyValue));
        default:
            return texts[column].table.intern({});
    }
}

uint32_t SegmentBuilder::State::label_of(Table table, std::string_view key, ColumnType type,
                                         bool is_boolean) {
    uint32_t& predicted =
        previous == UINT32_MAX ? first_label[static_cast<size_t>(table)] : labels[previous].next;
    if (predicted != UINT32_MAX) {
        const Label& label = labels[predicted];
        if (label.type == type && label.is_boolean == is_boolean && label.key == key)
            return predicted;
    }
    std::string name(is_valid_utf8(key) ? std::string(key) : replace_invalid_utf8(key));
    const size_t key_size = name.size();
    name += static_cast<char>(table);
    name += static_cast<char>(type);
    name += static_cast<char>(is_boolean);
    const uint64_t hash = hash64(name);
    uint32_t number = label_names.find(name, hash);
    if (number == TextTable::kNone) {
        const std::string_view valid_key = std::string_view(name).substr(0, key_size);
        const uint32_t column = writer->attribute_column(table, valid_key, type, is_boolean);
        if (column == SegmentWriter::kNone) return UINT32_MAX;
        number = label_names.insert(name, hash);
        predicted = number;
        labels.push_back({std::string(valid_key), type, is_boolean, column, UINT32_MAX});
        grow_texts(column);
        return number;
    }
    predicted = number;
    return number;
}

uint64_t SegmentBuilder::State::cell_of(const Label& label, const otlp::ValueView& value) {
    switch (value.type) {
        case otlp::ValueType::kString:
            return text_code(label.column, value.bytes);
        case otlp::ValueType::kBool:
            return value.boolean ? 1 : 0;
        case otlp::ValueType::kInt:
            return static_cast<uint64_t>(value.integer);
        case otlp::ValueType::kDouble:
            return std::bit_cast<uint64_t>(value.number);
        case otlp::ValueType::kEmpty:
            return value_code(label.column, {});
        default:
            return value_code(label.column, value.message);
    }
}

void SegmentBuilder::State::add_attribute(Table table, std::string_view message) {
    if (is_overflowing) return;
    otlp::AttributeView attribute;
    if (!parse_usual(message, attribute)) attribute = otlp::AttributeView::parse(message);
    const otlp::ValueType type = attribute.value.type;
    const uint32_t label =
        columns.size() == kShapeColumnsMax
            ? UINT32_MAX
            : label_of(table, attribute.key, column_type(type), type == otlp::ValueType::kBool);
    if (label == UINT32_MAX) {
        is_overflowing = true;
        return;
    }
    previous = label;
    columns.push_back(labels[label].column);
    cells.push_back(cell_of(labels[label], attribute.value));
}

template <typename Row>
void SegmentBuilder::State::end_attributes(Table table, Row& row, std::string_view message,
                                           uint32_t field) {
    row.first_cell = cells_begin;
    if (columns.empty() && !is_overflowing) return;
    if (!is_overflowing) {
        row.order = writer->order(table, columns);
        if (row.order != SegmentWriter::kNone) return;
    }
    divide_attributes(table, row, message, field);
}

// Some attribute has no column, or the order is one too many: what fits stays in columns, the rest,
// whole keys of it, goes into the overflow.
template <typename Row>
void SegmentBuilder::State::divide_attributes(Table table, Row& row, std::string_view message,
                                              uint32_t field) {
    const otlp::Repeated<otlp::AttributeView> attributes(message, field);
    std::vector<std::string_view> outside;  // keys
    size_t count = 0;
    previous = UINT32_MAX;
    for (const otlp::AttributeView attribute : attributes) {
        const otlp::ValueType type = attribute.value.type;
        const bool has_room = row.order != SegmentWriter::kNone && count++ < kShapeColumnsMax;
        if (!has_room || label_of(table, attribute.key, column_type(type),
                                  type == otlp::ValueType::kBool) == UINT32_MAX)
            outside.push_back(attribute.key);
    }
    std::sort(outside.begin(), outside.end());
    cells.resize(cells_begin);
    columns.clear();
    std::string overflow;
    otlp::WireWriter out(overflow);
    uint32_t position = 0;
    WireReader reader(message);
    while (reader.next()) {
        if (key_of(reader) != key_of(field, 2)) {
            reader.skip();
            continue;
        }
        const std::string_view one = reader.bytes();
        const auto attribute = otlp::AttributeView::parse(one);
        if (std::binary_search(outside.begin(), outside.end(), attribute.key)) {
            const size_t mark = out.begin(1);
            overflow.append(one);
            out.varint_field(15, position++);
            out.end(mark);
            continue;
        }
        ++position;
        const otlp::ValueType type = attribute.value.type;
        const Label& label = labels[label_of(table, attribute.key, column_type(type),
                                             type == otlp::ValueType::kBool)];
        columns.push_back(label.column);
        cells.push_back(cell_of(label, attribute.value));
    }
    const bool is_refused = row.order == SegmentWriter::kNone;
    row.order = columns.empty() ? 0 : writer->order(table, columns);
    // One order too many: once more, with every key outside.
    if (row.order == SegmentWriter::kNone && !is_refused)
        return divide_attributes(table, row, message, field);
    if (check_wire(overflow, WireMessage::kOverflow) == WireState::kBadText)
        overflow = with_valid_text(overflow, WireMessage::kOverflow);
    row.overflow = texts[overflow_column(table)].table.intern(overflow);
}

void SegmentBuilder::State::read_status(std::string_view message, SpanRow& row) {
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(2, 2):
                row.status_message = text_code(kColumnStatusMessage, reader.bytes());
                break;
            case key_of(3, 0): {
                const uint64_t code = reader.varint();
                row.status = code <= 2 ? static_cast<uint8_t>(code) : 0;
                break;
            }
            default:
                reader.skip();
                break;
        }
    }
}

void SegmentBuilder::State::add_event(std::string_view message) {
    ChildRow row;
    begin_attributes();
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(1, 1):
                row.time_ns = reader.fixed64();
                break;
            case key_of(2, 2):
                row.text = text_code(kColumnEventName, reader.bytes());
                break;
            case key_of(3, 2):
                add_attribute(Table::kEvents, reader.bytes());
                break;
            case key_of(4, 0):
                row.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            default:
                reader.skip();
                break;
        }
    }
    end_attributes(Table::kEvents, row, message, 3);
    events.push_back(row);
}

void SegmentBuilder::State::add_link(std::string_view message) {
    ChildRow row;
    const auto link = otlp::LinkView::parse(message);
    row.trace_id = link.trace_id;
    row.span_id = link.span_id;
    row.text = text_code(kColumnLinkTraceState, link.trace_state);
    row.flags = link.flags;
    row.dropped_attributes = link.dropped_attributes;
    begin_attributes();
    WireReader reader(message);
    while (reader.next()) {
        if (key_of(reader) == key_of(4, 2))
            add_attribute(Table::kLinks, reader.bytes());
        else
            reader.skip();
    }
    end_attributes(Table::kLinks, row, message, 4);
    links.push_back(row);
}

void SegmentBuilder::State::add_span(const Batch& batch, const SpanRef& ref, uint32_t scope) {
    SpanRow row;
    row.trace_id = ref.trace_id;
    row.span_id = ref.span_id;
    row.start_ns = ref.start_ns;
    row.end_ns = ref.end_ns;
    row.scope = scope;
    row.first_event = static_cast<uint32_t>(events.size());
    row.first_link = static_cast<uint32_t>(links.size());
    std::vector<std::string_view>& children = child_messages;
    children.clear();
    uint32_t cut_events = 0;
    uint32_t cut_links = 0;
    begin_attributes();
    WireReader reader(batch.at(ref.message));
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(3, 2):
                row.trace_state = text_code(kColumnTraceState, reader.bytes());
                break;
            case key_of(4, 2): {
                const std::string_view id = reader.bytes();
                row.parent_id = {};
                if (id.size() == 8) std::memcpy(row.parent_id.bytes.data(), id.data(), 8);
                break;
            }
            case key_of(5, 2):
                row.name = text_code(kColumnName, reader.bytes());
                break;
            case key_of(6, 0):
                row.kind = static_cast<int32_t>(reader.varint());
                break;
            case key_of(9, 2):
                add_attribute(Table::kSpans, reader.bytes());
                break;
            case key_of(10, 0):
                row.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(11, 2):
            case key_of(13, 2): {
                const bool is_event = reader.field() == 11;
                const std::string_view message = reader.bytes();
                uint32_t& count = is_event ? row.events : row.links;
                if (count == kChildrenPerSpanMax) {
                    ++(is_event ? cut_events : cut_links);
                } else {
                    ++count;
                    children.push_back(message);
                    child_is_event.resize(children.size());
                    child_is_event[children.size() - 1] = is_event;
                }
                break;
            }
            case key_of(12, 0):
                row.dropped_events = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(14, 0):
                row.dropped_links = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(15, 2):
                read_status(reader.bytes(), row);
                break;
            case key_of(16, 5):
                row.flags = reader.fixed32();
                break;
            default:
                reader.skip();
                break;
        }
    }
    row.dropped_events += cut_events;
    row.dropped_links += cut_links;
    end_attributes(Table::kSpans, row, batch.at(ref.message), 9);
    for (size_t i = 0; i < children.size(); ++i) {
        if (child_is_event[i] != 0)
            add_event(children[i]);
        else
            add_link(children[i]);
    }
    spans.push_back(row);
}

uint32_t SegmentBuilder::State::scope_of(const Batch& batch, uint32_t index,
                                         std::vector<uint32_t>& known) {
    if (known[index] != UINT32_MAX) return known[index];
    const ScopeRef& scope = batch.scopes[index];
    const ResourceRef& resource = batch.resources[scope.resource];
    const auto valid = [](std::string_view message, WireMessage type) {
        switch (check_wire(message, type)) {
            case WireState::kGood:
                return std::string(message);
            case WireState::kBadText:
                return with_valid_text(message, type);
            default:
                return std::string();
        }
    };
    const auto valid_text = [](std::string_view text) {
        return is_valid_utf8(text) ? std::string(text) : replace_invalid_utf8(text);
    };
    const uint32_t number =
        writer->resource(valid(batch.at(resource.message), WireMessage::kResource),
                         valid_text(batch.at(resource.schema_url)));
    known[index] = writer->scope(number, valid(batch.at(scope.message), WireMessage::kScope),
                                 valid_text(batch.at(scope.schema_url)));
    return known[index];
}

// ---- finishing

// The tables become those of the output: codes stay as they are.
void SegmentBuilder::State::prepare_orders() {
    std::vector<uint64_t> values(texts.size());
    for (const Table table : {Table::kSpans, Table::kEvents, Table::kLinks}) {
        const TextTable& orders = writer->texts(order_column(table)).table;
        std::vector<uint64_t> rows(orders.size());
        const auto count = [&](const auto& all) {
            for (const auto& row : all)
                ++rows[row.order];
        };
        if (table == Table::kSpans) count(spans);
        if (table == Table::kEvents) count(events);
        if (table == Table::kLinks) count(links);
        OrderPlan& plan = plans[static_cast<size_t>(table)];
        plan = {};
        for (uint32_t order = 0; order < orders.size(); ++order) {
            const std::string_view list = orders.text(order);
            plan.first.push_back(static_cast<uint32_t>(plan.cells.size()));
            for (size_t i = 0; i < list.size() / 4; ++i) {
                const uint32_t column = order_entry(list, i);
                const ColumnType type = writer->column_key(column).type;
                const bool is_number = type == ColumnType::kInt || type == ColumnType::kDouble;
                ColumnStage& stage = writer->stage(column);
                plan.cells.push_back(
                    {is_number ? &stage.integers : nullptr, is_number ? nullptr : &stage.codes});
                if (!is_number) values[column] += rows[order];
            }
        }
        plan.first.push_back(static_cast<uint32_t>(plan.cells.size()));
    }
    for (const uint32_t column :
         {kColumnName, kColumnStatusMessage, kColumnTraceState, kColumnOverflow})
        values[column] = spans.size();
    for (const uint32_t column : {kColumnEventName, kColumnEventOverflow})
        values[column] = events.size();
    for (const uint32_t column : {kColumnLinkTraceState, kColumnLinkOverflow})
        values[column] = links.size();
    for (uint32_t column = 0; column < texts.size(); ++column)
        if (texts[column].table.size() > 0)
            writer->adopt(column, std::move(texts[column].table), values[column]);
}

void SegmentBuilder::State::emit_attributes(Table table, uint32_t order, uint64_t first_cell) {
    const OrderPlan& plan = plans[static_cast<size_t>(table)];
    const uint64_t* cell = cells.data() + first_cell;
    for (uint32_t i = plan.first[order]; i < plan.first[order + 1]; ++i, ++cell) {
        const OrderPlan::Cell& to = plan.cells[i];
        if (to.integers != nullptr)
            to.integers->push_back(static_cast<int64_t>(*cell));
        else
            to.codes->push_back(static_cast<uint32_t>(*cell));
    }
}

void SegmentBuilder::State::emit_children(const SpanRow& row, uint32_t owner) {
    const auto integer = [&](uint32_t column, uint64_t value) {
        writer->stage(column).integers.push_back(static_cast<int64_t>(value));
    };
    const auto text = [&](uint32_t column, uint32_t code) {
        writer->stage(column).codes.push_back(code);
    };
    for (uint32_t i = row.first_event; i < row.first_event + row.events; ++i) {
        const ChildRow& event = events[i];
        integer(kColumnEventOwner, owner);
        integer(kColumnEventTime, event.time_ns - row.start_ns);
        text(kColumnEventName, event.text);
        integer(kColumnEventDropped, event.dropped_attributes);
        writer->stage(kColumnEventOrder).codes.push_back(event.order);
        text(kColumnEventOverflow, event.overflow);
        emit_attributes(Table::kEvents, event.order, event.first_cell);
    }
    for (uint32_t i = row.first_link; i < row.first_link + row.links; ++i) {
        const ChildRow& link = links[i];
        integer(kColumnLinkOwner, owner);
        writer->stage(kColumnLinkTraceId).fixed.append(link.trace_id.view());
        writer->stage(kColumnLinkSpanId).fixed.append(link.span_id.view());
        text(kColumnLinkTraceState, link.text);
        integer(kColumnLinkFlags, link.flags);
        integer(kColumnLinkDropped, link.dropped_attributes);
        writer->stage(kColumnLinkOrder).codes.push_back(link.order);
        text(kColumnLinkOverflow, link.overflow);
        emit_attributes(Table::kLinks, link.order, link.first_cell);
    }
}

void SegmentBuilder::State::emit_span(const SpanRow& row) {
    const auto integer = [&](uint32_t column, uint64_t value) {
        writer->stage(column).integers.push_back(static_cast<int64_t>(value));
    };
    const auto text = [&](uint32_t column, uint32_t code) {
        writer->stage(column).codes.push_back(code);
    };
    const auto owner = static_cast<uint32_t>(writer->stage(kColumnStart).integers.size());
    writer->stage(kColumnSpanId).fixed.append(row.span_id.view());
    integer(kColumnStart, row.start_ns);
    integer(kColumnDuration, row.end_ns - row.start_ns);
    text(kColumnName, row.name);
    integer(kColumnKind, static_cast<uint64_t>(row.kind));
    integer(kColumnStatus, row.status);
    text(kColumnStatusMessage, row.status_message);
    integer(kColumnFlags, row.flags);
    text(kColumnTraceState, row.trace_state);
    integer(kColumnDroppedAttributes, row.dropped_attributes);
    integer(kColumnDroppedEvents, row.dropped_events);
    integer(kColumnDroppedLinks, row.dropped_links);
    integer(kColumnScope, row.scope);
    writer->stage(kColumnOrder).codes.push_back(row.order);
    text(kColumnOverflow, row.overflow);
    emit_attributes(Table::kSpans, row.order, row.first_cell);
    emit_children(row, owner);
}

Result<void> SegmentBuilder::State::write_rows() {
    // Rows by fragment.
    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> numbers;
    std::vector<uint32_t> fragment_of(spans.size());
    std::vector<TraceFragment> fragments;
    for (uint32_t row = 0; row < spans.size(); ++row) {
        const SpanRow& span = spans[row];
        const auto [at, is_new] =
            numbers.try_emplace(span.trace_id, static_cast<uint32_t>(fragments.size()));
        if (is_new) {
            fragments.emplace_back();
            fragments.back().trace_id = span.trace_id;
            fragments.back().start_ns = UINT64_MAX;
        }
        TraceFragment& fragment = fragments[at->second];
        fragment_of[row] = at->second;
        ++fragment.rows;
        fragment.start_ns = std::min(fragment.start_ns, span.start_ns);
        fragment.end_ns = std::max({fragment.end_ns, span.start_ns, span.end_ns});
        fragment.errors += span.status == static_cast<uint8_t>(otlp::StatusCode::kError);
    }
    std::vector<uint32_t> sorted(fragments.size());
    std::iota(sorted.begin(), sorted.end(), 0U);
    std::sort(sorted.begin(), sorted.end(),
              [&](uint32_t a, uint32_t b) { return fragment_before(fragments[a], fragments[b]); });
    uint32_t first_row = 0;
    for (const uint32_t number : sorted) {
        fragments[number].first_row = first_row;
        first_row += fragments[number].rows;
    }
    std::vector<uint32_t> rows(spans.size());
    {
        std::vector<uint32_t> next(fragments.size());
        for (size_t i = 0; i < fragments.size(); ++i)
            next[i] = fragments[i].first_row;
        for (uint32_t row = 0; row < spans.size(); ++row)
            rows[next[fragment_of[row]]++] = row;
    }
    GroupPlan plan(options.row_group_rows);
    std::vector<SpanId> ids;
    std::vector<SpanId> parents;
    std::vector<int64_t> parent_links;
    for (uint32_t f = 0; f < sorted.size(); ++f) {
        const TraceFragment& fragment = fragments[sorted[f]];
        const std::span<uint32_t> mine(rows.data() + fragment.first_row, fragment.rows);
        std::sort(mine.begin(), mine.end(), [&](uint32_t a, uint32_t b) {
            return spans[a].start_ns != spans[b].start_ns ? spans[a].start_ns < spans[b].start_ns
                   : spans[a].span_id != spans[b].span_id ? spans[a].span_id < spans[b].span_id
                                                          : a < b;
        });
        ids.clear();
        parents.clear();
        for (const uint32_t row : mine) {
            ids.push_back(spans[row].span_id);
            parents.push_back(spans[row].parent_id);
        }
        link_parents(ids, parents, parent_links);
        writer->add_fragment(fragment);
        if (plan.is_due(fragment.rows)) TRY(plan.write(*writer));
        for (uint32_t i = 0; i < mine.size(); ++i) {
            const SpanRow& span = spans[mine[i]];
            if (plan.is_full(span.events, span.links)) TRY(plan.write(*writer));
            plan.add(f, fragment.start_ns, i, span.events, span.links);
            ColumnStage& stage = writer->stage(kColumnParentId);
            stage.integers.push_back(parent_links[i]);
            if (parent_links[i] == kParentElsewhere) stage.fixed.append(span.parent_id.view());
            emit_span(span);
        }
    }
    return plan.write(*writer);
}

Result<Blob> SegmentBuilder::State::finish() {
    prepare_orders();
    TRY(write_rows());
    TRY_ASSIGN(const SegmentInfo info, writer->finish());
    (void)info;
    auto bytes = std::make_shared<std::string>(std::move(image));
    return Blob::wrap(bytes, bytes->data(), bytes->size());
}

SegmentBuilder::SegmentBuilder(SegmentOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
SegmentBuilder::SegmentBuilder(SegmentBuilder&&) noexcept = default;
SegmentBuilder& SegmentBuilder::operator=(SegmentBuilder&&) noexcept = default;
SegmentBuilder::~SegmentBuilder() = default;

void SegmentBuilder::add(const Batch& batch) {
    std::vector<uint32_t> known(batch.scopes.size(), UINT32_MAX);
    for (const SpanRef& ref : batch.spans)
        state_->add_span(batch, ref, state_->scope_of(batch, ref.scope, known));
    if (!batch.spans.empty()) state_->writer->add_arrival(batch.arrival_ns, batch.arrival_ns);
}

void SegmentBuilder::add(const Batch& batch, std::span<const uint32_t> spans) {
    std::vector<uint32_t> known(batch.scopes.size(), UINT32_MAX);
    for (const uint32_t index : spans) {
        const SpanRef& ref = batch.spans[index];
        state_->add_span(batch, ref, state_->scope_of(batch, ref.scope, known));
    }
    if (!spans.empty()) state_->writer->add_arrival(batch.arrival_ns, batch.arrival_ns);
}

size_t SegmentBuilder::spans() const {
    return state_->spans.size();
}

size_t SegmentBuilder::memory_bytes() const {
    size_t bytes = state_->spans.capacity() * sizeof(SpanRow) +
                   (state_->events.capacity() + state_->links.capacity()) * sizeof(ChildRow) +
                   state_->cells.capacity() * sizeof(uint64_t);
    for (const ColumnTexts& texts : state_->texts)
        bytes += texts.table.memory_bytes();
    return bytes;
}

Result<Blob> SegmentBuilder::finish() {
    Result<Blob> image = state_->finish();
    state_ = std::make_unique<State>(state_->options);
    return image;
}

}  // namespace spanloom::store
