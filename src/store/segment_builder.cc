#include <algorithm>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "otlp/wire.h"
#include "otlp/writer.h"
#include "store/segment_builder_state.h"
#include "store/segment_wire.h"

namespace spanloom::store {
namespace {

using otlp::WireReader;

constexpr uint32_t key_of(uint32_t field, uint32_t wire_type) {
    return field << 3 | wire_type;
}
uint32_t key_of(const WireReader& reader) {
    return key_of(reader.field(), reader.wire_type());
}

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

// Keys of one byte of length at most.
constexpr size_t kForeseenKeyBytesMax = 128;

// A length of one or two bytes.
bool read_length(const uint8_t*& at, const uint8_t* end, size_t& size) {
    if (at == end) return false;
    size = *at++;
    if (size < 0x80) return true;
    if (at == end || *at >= 0x80) return false;
    size = (size & 0x7f) | size_t{*at++} << 7;
    return true;
}

// A number that ends where the message does.
bool read_whole_varint(const uint8_t* at, const uint8_t* end, uint64_t& number) {
    number = 0;
    for (uint32_t shift = 0; at < end && shift < 64; shift += 7) {
        number |= uint64_t{*at & 0x7fU} << shift;
        if (*at++ < 0x80) return at == end;
    }
    return false;
}

}  // namespace

// ---- adding

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
    uint32_t& predicted = foreseen(table);
    if (predicted != UINT32_MAX) {
        const Label& label = labels[predicted];
        if (label.type == type && label.is_boolean == is_boolean && label.key == key)
            return predicted;
    }
    std::string& name = label_name;
    if (is_valid_utf8(key))
        name.assign(key);
    else
        name = replace_invalid_utf8(key);
    const size_t key_size = name.size();
    name += static_cast<char>(table);
    name += static_cast<char>(type);
    name += static_cast<char>(is_boolean);
    const uint64_t hash = hash64(name);
    uint32_t number = label_names.find(name, hash);
    if (number != TextTable::kNone) {
        foreseen_else(table) = predicted;
        return predicted = number;
    }
    const std::string_view valid_key = std::string_view(name).substr(0, key_size);
    const uint32_t column = writer->attribute_column(table, valid_key, type, is_boolean);
    if (column == SegmentWriter::kNone) return UINT32_MAX;
    number = label_names.insert(name, hash);
    foreseen_else(table) = predicted;
    predicted = number;
    Label label;
    label.key = valid_key;
    label.type = type;
    label.is_boolean = is_boolean;
    label.column = column;
    if (key_size < kForeseenKeyBytesMax) {
        label.prefix = {'\x0a', static_cast<char>(key_size)};
        label.prefix.append(valid_key);
        label.prefix += '\x12';
    }
    labels.push_back(std::move(label));
    grow_texts(column);
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

// The attribute as the label foresees it, in the form that every sender uses: its key, then a value
// of its type, lengths in one or two bytes. False where it is another one.
bool SegmentBuilder::State::add_foreseen(uint32_t number, std::string_view message) {
    if (number == UINT32_MAX) return false;
    const Label& label = labels[number];
    const size_t prefix = label.prefix.size();
    if (prefix == 0 || message.size() < prefix + 3 ||
        !are_equal_bytes(message.data(), label.prefix.data(), prefix))
        return false;
    const auto* at = reinterpret_cast<const uint8_t*>(message.data()) + prefix;
    const auto* const end = reinterpret_cast<const uint8_t*>(message.data()) + message.size();
    size_t size = 0;
    if (!read_length(at, end, size) || size != static_cast<size_t>(end - at) || size < 2)
        return false;
    uint64_t cell = 0;
    switch (*at++) {
        case 0x0a:
            if (label.type != ColumnType::kString || !read_length(at, end, size) ||
                size != static_cast<size_t>(end - at))
                return false;
            cell = text_code(label.column, {reinterpret_cast<const char*>(at), size});
            break;
        case 0x10:
            if (!label.is_boolean || at + 1 != end || *at > 1) return false;
            cell = *at;
            break;
        case 0x18:
            if (label.type != ColumnType::kInt || label.is_boolean ||
                !read_whole_varint(at, end, cell))
                return false;
            break;
        case 0x21:
            if (label.type != ColumnType::kDouble || end - at != 8) return false;
            std::memcpy(&cell, at, 8);
            break;
        default:
            return false;
    }
    previous = number;
    columns.push_back(label.column);
    cells.push_back(cell);
    return true;
}

void SegmentBuilder::State::add_attribute(Table table, std::string_view message) {
    if (is_overflowing) return;
    if (columns.size() < kShapeColumnsMax) {
        uint32_t& first = foreseen(table);
        if (add_foreseen(first, message)) return;
        uint32_t& second = foreseen_else(table);
        if (add_foreseen(second, message)) return std::swap(first, second);
    }
    const otlp::AttributeView attribute = otlp::AttributeView::parse(message);
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
        // Most rows that end with this attribute have those before it that the last such row had.
        uint32_t& likely = labels[previous].order;
        row.order =
            writer->is_order(table, likely, columns) ? likely : writer->order(table, columns);
        if (row.order != SegmentWriter::kNone) {
            likely = row.order;
            return;
        }
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
    row.arrival_s = static_cast<uint32_t>(batch.arrival_ns / kNsPerSecond);
    row.scope = scope;
    row.bytes = ref.message.size;
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
    // Senders say who they are in each request, in the same bytes.
    scope_key.clear();
    for (const ByteRange part :
         {resource.message, resource.schema_url, scope.message, scope.schema_url}) {
        scope_key.append(reinterpret_cast<const char*>(&part.size), sizeof part.size);
        scope_key.append(batch.at(part));
    }
    const uint64_t hash = hash64(scope_key);
    const uint32_t seen = scope_keys.find(scope_key, hash);
    if (seen != TextTable::kNone) return known[index] = scope_numbers[seen];
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
    scope_keys.insert(scope_key, hash);
    scope_numbers.push_back(known[index]);
    return known[index];
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

namespace {

// Bytes of all the state's rows and texts; count() says of how many elements of a list.
template <typename State, typename Count>
size_t bytes_of(const State& state, Count count) {
    size_t bytes = count(state.spans) * sizeof(SpanRow) +
                   (count(state.events) + count(state.links)) * sizeof(ChildRow) +
                   count(state.cells) * sizeof(uint64_t);
    for (const ColumnTexts& texts : state.texts)
        bytes += texts.table.memory_bytes();
    return bytes + state.scope_keys.memory_bytes();
}

}  // namespace

size_t SegmentBuilder::used_bytes() const {
    return bytes_of(*state_, [](const auto& list) { return list.size(); });
}

size_t SegmentBuilder::memory_bytes() const {
    return bytes_of(*state_, [](const auto& list) { return list.capacity(); });
}

Result<Blob> SegmentBuilder::finish() {
    Result<Blob> image = state_->finish();
    auto next = std::make_unique<State>(state_->options);
    next->take_memory(*state_, image ? image->size() : 0);
    state_ = std::move(next);
    return image;
}

Result<Blob> SegmentBuilder::finish_as(const SegmentOptions& options) {
    constexpr size_t kBytesPerSpan = 40;  // about
    auto next = std::make_unique<State>(state_->options);
    state_->options = options;
    state_->writer->change_options(options);
    state_->image.reserve(state_->spans.size() * kBytesPerSpan);
    Result<Blob> image = state_->finish();
    next->take_memory(*state_, 0);
    state_ = std::move(next);
    return image;
}

}  // namespace spanloom::store
