#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "otlp/batch.h"
#include "otlp/writer.h"
#include "store/segment.h"
#include "store/segment_wire.h"

// For tests: odd requests, and spans printed field by field, once from the OTLP that came in and
// once from the columns of a segment.
namespace spanloom::store {

inline std::string shown(const otlp::ValueView& value) {
    switch (value.type) {
        case otlp::ValueType::kEmpty:
            return "empty";
        case otlp::ValueType::kString:
            return "string:" + replace_invalid_utf8(value.bytes);
        case otlp::ValueType::kBool:
            return value.boolean ? "bool:1" : "bool:0";
        case otlp::ValueType::kInt:
            return "int:" + std::to_string(value.integer);
        case otlp::ValueType::kDouble:
            return "double:" + std::to_string(std::bit_cast<uint64_t>(value.number));
        default: {
            std::string out = "message:";
            append_base64(out, value.message);
            return out;
        }
    }
}

template <typename Attributes>
std::string shown_attributes(const Attributes& attributes) {
    std::string out = "[";
    for (const auto attribute : attributes)
        out += replace_invalid_utf8(attribute.key) + "=" + shown(attribute.value) + ";";
    return out + "]";
}

inline std::string shown_span(const Batch& batch, const SpanRef& ref) {
    const otlp::SpanView span = batch.span(ref);
    const ScopeRef& scope = batch.scopes[ref.scope];
    const ResourceRef& resource = batch.resources[scope.resource];
    std::string out =
        span.trace_id.hex() + " " + span.span_id.hex() + " parent " + span.parent_span_id.hex() +
        " at " + std::to_string(span.start_ns) + " to " + std::to_string(span.end_ns) + " name " +
        replace_invalid_utf8(span.name) + " kind " + std::to_string(static_cast<int>(span.kind)) +
        " status " + std::to_string(static_cast<int>(span.status)) + " " +
        replace_invalid_utf8(span.status_message) + " flags " + std::to_string(span.flags) +
        " state " + replace_invalid_utf8(span.trace_state) + " dropped " +
        std::to_string(span.dropped_attributes) + " " + std::to_string(span.dropped_events) + " " +
        std::to_string(span.dropped_links) + " " + shown_attributes(span.attributes());
    for (const auto event : span.events())
        out += "\n  event " + std::to_string(event.time_ns) + " " +
               replace_invalid_utf8(event.name) + " " + std::to_string(event.dropped_attributes) +
               shown_attributes(event.attributes());
    for (const auto link : span.links())
        out += "\n  link " + link.trace_id.hex() + " " + link.span_id.hex() + " " +
               replace_invalid_utf8(link.trace_state) + " " + std::to_string(link.flags) + " " +
               std::to_string(link.dropped_attributes) + shown_attributes(link.attributes());
    std::string messages;
    append_base64(messages, with_valid_text(batch.at(resource.message), WireMessage::kResource));
    messages += " ";
    append_base64(messages, with_valid_text(batch.at(scope.message), WireMessage::kScope));
    return out + "\n  in " + messages + " " + std::string(batch.at(resource.schema_url)) + " " +
           std::string(batch.at(scope.schema_url));
}

inline std::vector<std::string> shown_spans(const Batch& batch) {
    std::vector<std::string> out;
    for (const SpanRef& ref : batch.spans)
        out.push_back(shown_span(batch, ref));
    return out;
}

// One row group's columns, with a cursor per column: rows are visited in order.
class RowPrinter {
  public:
    RowPrinter(const Segment& segment, uint32_t group) : segment_(segment) {
        for (uint32_t column = 0; column < segment.columns().size(); ++column) {
            auto block = segment.read(column, group);
            if (!block) {
                error = block.error().message;
                return;
            }
            blocks_.push_back(*block);
            next_.push_back(0);
        }
    }
    std::string error;

    // The index of the next value of the column where it belongs to the row.
    std::optional<size_t> take(uint32_t column, uint32_t row) {
        const ColumnBlock& block = *blocks_[column];
        size_t& next = next_[column];
        if (next >= block.size()) return std::nullopt;
        if ((block.dense ? next : block.rows[next]) != row) return std::nullopt;
        return next++;
    }
    uint32_t column(Table table, Intrinsic intrinsic, RowField field) const {
        const auto columns = segment_.columns();
        for (uint32_t c = 0; c < columns.size(); ++c)
            if (columns[c].table == table && columns[c].scope == Scope::kIntrinsic &&
                columns[c].intrinsic == intrinsic && columns[c].row_field == field)
                return c;
        return UINT32_MAX;
    }
    int64_t integer(Table table, Intrinsic intrinsic, RowField field, uint32_t row) {
        const uint32_t c = column(table, intrinsic, field);
        const auto at = take(c, row);
        return at ? blocks_[c]->integers[*at] : 0;
    }
    // Without moving on: the next child row's span, where it is this child.
    int64_t owner(Table table, uint32_t child) {
        const uint32_t c = column(table, Intrinsic::kNone, RowField::kOwner);
        return blocks_[c]->integers[child];
    }
    std::string text(Table table, Intrinsic intrinsic, uint32_t row) {
        const uint32_t c = column(table, intrinsic, RowField::kNone);
        const auto at = take(c, row);
        return at ? std::string(blocks_[c]->strings[blocks_[c]->codes[*at]]) : std::string();
    }
    std::string hex(Table table, Intrinsic intrinsic, uint32_t row, size_t width) {
        const uint32_t c = column(table, intrinsic, RowField::kNone);
        const auto at = take(c, row);
        std::string out;
        if (!at) return std::string(width * 2, '0');
        append_hex(out, reinterpret_cast<const uint8_t*>(blocks_[c]->fixed.data()) + *at * width,
                   width);
        return out;
    }
    std::string value(uint32_t c, uint32_t row) {
        const ColumnKey& key = segment_.columns()[c];
        const auto at = take(c, row);
        if (!at) return "missing";
        const ColumnBlock& block = *blocks_[c];
        switch (key.type) {
            case ColumnType::kInt:
                return (key.is_boolean ? "bool:" : "int:") + std::to_string(block.integers[*at]);
            case ColumnType::kDouble:
                return "double:" + std::to_string(std::bit_cast<uint64_t>(block.numbers[*at]));
            case ColumnType::kString:
                return "string:" + std::string(block.strings[block.codes[*at]]);
            default:
                return shown(otlp::ValueView::parse(block.strings[block.codes[*at]]));
        }
    }
    std::string attributes(Table table, uint32_t row) {
        std::map<uint32_t, std::string> placed;
        const uint32_t over = column(table, Intrinsic::kNone, RowField::kOverflow);
        if (const auto at = take(over, row))
            for (const auto& one :
                 overflow_attributes(blocks_[over]->strings[blocks_[over]->codes[*at]]))
                placed[one.position] =
                    std::string(one.attribute.key) + "=" + shown(one.attribute.value) + ";";
        const uint32_t order = column(table, Intrinsic::kNone, RowField::kAttributeOrder);
        std::string_view list;
        if (const auto at = take(order, row))
            list = blocks_[order]->strings[blocks_[order]->codes[*at]];
        uint32_t position = 0;
        for (size_t i = 0; i < list.size() / 4; ++i) {
            uint32_t c = 0;
            std::memcpy(&c, list.data() + i * 4, 4);
            while (placed.count(position) != 0)
                ++position;
            placed[position] = segment_.columns()[c].key + "=" + value(c, row) + ";";
        }
        std::string out = "[";
        for (const auto& [at, text] : placed)
            out += text;
        return out + "]";
    }

  private:
    const Segment& segment_;
    std::vector<std::shared_ptr<const ColumnBlock>> blocks_;
    std::vector<size_t> next_;
};

inline std::string shown_row(const Segment& segment, RowPrinter& reader, const RowGroup& group,
                             const TraceFragment& fragment, uint32_t row, uint32_t& event,
                             uint32_t& link) {
    constexpr Table kS = Table::kSpans;
    constexpr RowField kNo = RowField::kNone;
    const auto field = [&](RowField f) {
        return std::to_string(reader.integer(kS, Intrinsic::kNone, f, row));
    };
    const auto start = static_cast<uint64_t>(reader.integer(kS, Intrinsic::kStart, kNo, row));
    const uint64_t end =
        start + static_cast<uint64_t>(reader.integer(kS, Intrinsic::kDuration, kNo, row));
    std::string out = fragment.trace_id.hex() + " " + reader.hex(kS, Intrinsic::kSpanId, row, 8) +
                      " parent " + reader.hex(kS, Intrinsic::kParentId, row, 8) + " at " +
                      std::to_string(start) + " to " + std::to_string(end);
    out += " name " + reader.text(kS, Intrinsic::kName, row);
    out += " kind " + std::to_string(reader.integer(kS, Intrinsic::kKind, kNo, row));
    out += " status " + std::to_string(reader.integer(kS, Intrinsic::kStatus, kNo, row));
    out += " " + reader.text(kS, Intrinsic::kStatusMessage, row);
    out += " flags " + field(RowField::kFlags);
    out += " state " + reader.text(kS, Intrinsic::kTraceState, row);
    out += " dropped " + field(RowField::kDroppedAttributes);
    out += " " + field(RowField::kDroppedEvents) + " " + field(RowField::kDroppedLinks) + " ";
    out += reader.attributes(kS, row);
    constexpr Table kE = Table::kEvents;
    RowPrinter& r = reader;
    while (event < group.events && r.owner(kE, event) == row) {
        const auto time = start + static_cast<uint64_t>(
                                      r.integer(kE, Intrinsic::kEventTimeSinceStart, kNo, event));
        out += "\n  event " + std::to_string(time) + " " + r.text(kE, Intrinsic::kEventName, event);
        out += " " +
               std::to_string(r.integer(kE, Intrinsic::kNone, RowField::kDroppedAttributes, event));
        out += r.attributes(kE, event);
        ++event;
    }
    constexpr Table kL = Table::kLinks;
    while (link < group.links && r.owner(kL, link) == row) {
        out += "\n  link " + r.hex(kL, Intrinsic::kLinkTraceId, link, 16) + " " +
               r.hex(kL, Intrinsic::kLinkSpanId, link, 8);
        out += " " + r.text(kL, Intrinsic::kTraceState, link);
        out += " " + std::to_string(r.integer(kL, Intrinsic::kNone, RowField::kFlags, link));
        out += " " +
               std::to_string(r.integer(kL, Intrinsic::kNone, RowField::kDroppedAttributes, link));
        out += r.attributes(kL, link);
        ++link;
    }
    const auto scope =
        static_cast<uint32_t>(reader.integer(kS, Intrinsic::kNone, RowField::kScopeIndex, row));
    const uint32_t resource = segment.scope_resource(scope);
    std::string messages;
    append_base64(messages, segment.resource_message(resource));
    messages += " ";
    append_base64(messages, segment.scope_message(scope));
    return out + "\n  in " + messages + " " + std::string(segment.resource_schema_url(resource)) +
           " " + std::string(segment.scope_schema_url(scope));
}

// All spans of a segment, in its order; an error where a block cannot be read.
inline Result<std::vector<std::string>> shown_spans(const Segment& segment) {
    std::vector<std::string> out;
    uint32_t number = 0;
    for (uint32_t g = 0; g < segment.row_groups().size(); ++g) {
        const RowGroup& group = segment.row_groups()[g];
        RowPrinter reader(segment, g);
        if (!reader.error.empty()) return fail(ErrorCode::kDataLoss, "{}", reader.error);
        uint32_t event = 0;
        uint32_t link = 0;
        for (uint32_t row = 0; row < group.rows; ++row) {
            TRY_ASSIGN(TraceFragment fragment, segment.fragment(number));
            while (group.first_row + row >= fragment.first_row + fragment.rows) {
                TRY_ASSIGN(fragment, segment.fragment(++number));
            }
            out.push_back(shown_row(segment, reader, group, fragment, row, event, link));
        }
    }
    return out;
}

// Makes requests with everything that OTLP allows and senders dare.
class OddRequests {
  public:
    explicit OddRequests(uint64_t seed) : random_(seed) {}

    Batch next(uint32_t spans) {
        std::string bytes;
        otlp::WireWriter out(bytes);
        while (spans > 0) {
            const size_t resource_spans = out.begin(1);
            const size_t resource = out.begin(1);
            attribute(out, 1, "service.name", [&](auto& w) { w.bytes_field(1, pick({"a", "b"})); });
            if (random_.below(3) == 0) attributes(out, 1, bytes);
            out.end(resource);
            if (random_.below(2) == 0) out.bytes_field(3, "https://example.test/schema");
            const size_t scope_spans = out.begin(2);
            const size_t scope = out.begin(1);
            out.bytes_field(1, pick({"lib.one", "lib.two", ""}));
            out.end(scope);
            for (uint64_t n = 1 + random_.below(20); n > 0 && spans > 0; --n, --spans)
                span(out, bytes);
            out.end(scope_spans);
            out.end(resource_spans);
        }
        auto batch = otlp::decode(Blob::copy_of(bytes));
        SPANLOOM_ASSERT(batch.has_value());
        batch->arrival_ns = 1'700'000'000'000'000'000 + random_.below(1000);
        return *batch;
    }

  private:
    std::string pick(std::initializer_list<std::string> texts) {
        return *(texts.begin() + random_.below(texts.size()));
    }
    std::string id(size_t bytes) {
        std::string out;
        for (size_t i = 0; i < bytes; ++i)
            out += static_cast<char>(random_.below(255) + 1);
        return out;
    }
    std::string text() {
        switch (random_.below(8)) {
            case 0:
                return "";
            case 1:
                return "GET";
            case 2:
                return "bad \xff\xfe utf8";
            case 3:
                return std::string("nul\0inside", 10);
            case 4:
                return "unique-" + std::to_string(random_.next());
            case 5:
                return std::string(random_.below(300), 'x');
            case 6:
                return "\xe2\x80\xae right to left";
            default:
                return "value" + std::to_string(random_.below(5));
        }
    }
    template <typename Write>
    void attribute(otlp::WireWriter& out, uint32_t field, const std::string& key, Write write) {
        const size_t mark = out.begin(field);
        out.bytes_field(1, key);
        const size_t value = out.begin(2);
        write(out);
        out.end(value);
        out.end(mark);
    }
    void value(otlp::WireWriter& out, uint32_t depth) {
        switch (random_.below(depth > 3 ? 7 : 9)) {
            case 0:
                break;
            case 1:
                out.bytes_field(1, text());
                break;
            case 2:
                out.varint_field(2, random_.below(2));
                break;
            case 3:
                out.varint_field(3, random_.below(10));
                break;
            case 4:
                out.varint_field(3, random_.next() >> random_.below(64));
                break;
            case 5:
                out.double_field(4, std::bit_cast<double>(random_.next()));
                break;
            case 6:
                out.double_field(4, static_cast<double>(random_.below(1000)) / 100);
                break;
            case 7: {
                const size_t list = out.begin(5);
                for (uint64_t n = random_.below(4); n > 0; --n) {
                    const size_t item = out.begin(1);
                    out.varint_field(3, random_.below(100));
                    out.end(item);
                }
                out.end(list);
                break;
            }
            default:
                out.bytes_field(7, text());
                break;
        }
    }
    void attributes(otlp::WireWriter& out, uint32_t field, std::string&) {
        for (uint64_t n = random_.below(9); n > 0; --n) {
            const std::string key =
                random_.below(12) == 0 ? text() : "key" + std::to_string(random_.below(12));
            attribute(out, field, key,
                      [&](otlp::WireWriter& w) { value(w, 4 * (random_.below(2))); });
        }
    }
    void usual_attributes(otlp::WireWriter& out) {
        attribute(out, 9, "http.method", [&](auto& w) { w.bytes_field(1, pick({"GET", "PUT"})); });
        attribute(out, 9, "user.id",
                  [&](auto& w) { w.bytes_field(1, std::to_string(random_.below(1'000'000))); });
        attribute(out, 9, "http.status_code", [&](auto& w) { w.varint_field(3, 200); });
        attribute(out, 9, "size", [&](auto& w) { w.varint_field(3, random_.below(5000)); });
    }
    uint64_t time() {
        switch (random_.below(12)) {
            case 0:
                return 0;
            case 1:
                return UINT64_MAX - random_.below(3);
            case 2:
                return random_.next();
            default:
                return 1'700'000'000'000'000'000 + random_.below(1'000'000'000'000);
        }
    }
    void span(otlp::WireWriter& out, std::string& bytes) {
        if (traces_.empty() || random_.below(5) == 0) traces_.push_back({id(16), {id(8)}});
        auto& [trace, ids] =
            traces_[traces_.size() - 1 - random_.below(std::min<size_t>(8, traces_.size()))];
        const size_t mark = out.begin(2);
        out.bytes_field(1, trace);
        const std::string own = random_.below(30) == 0 ? ids.back() : id(8);
        out.bytes_field(2, own);
        if (random_.below(6) == 0) out.bytes_field(3, "ot=th:" + std::to_string(random_.below(10)));
        const uint64_t parent = random_.below(10);
        if (parent == 0) out.bytes_field(4, id(8));
        if (parent == 1) out.bytes_field(4, own);
        if (parent > 2) out.bytes_field(4, ids[random_.below(ids.size())]);
        ids.push_back(own);
        out.bytes_field(5, random_.below(4) == 0 ? text() : pick({"GET /", "query", "send"}));
        out.varint_field(6, random_.below(6));
        const uint64_t start = time();
        out.fixed64_field(7, start);
        out.fixed64_field(8, random_.below(9) == 0 ? time() : start + random_.below(1'000'000));
        if (random_.below(3) == 0) usual_attributes(out);
        if (random_.below(3) != 0) attributes(out, 9, bytes);
        if (random_.below(9) == 0) out.varint_field(10, random_.below(1000));
        for (uint64_t n = random_.below(4) == 0 ? random_.below(4) : 0; n > 0; --n) {
            const size_t event = out.begin(11);
            out.fixed64_field(1, random_.below(5) == 0 ? time() : start + random_.below(1000));
            out.bytes_field(2, text());
            attributes(out, 3, bytes);
            if (random_.below(5) == 0) out.varint_field(4, random_.below(70));
            out.end(event);
        }
        if (random_.below(9) == 0) out.varint_field(12, random_.below(1000));
        for (uint64_t n = random_.below(5) == 0 ? random_.below(4) : 0; n > 0; --n) {
            const size_t link = out.begin(13);
            out.bytes_field(1, id(16));
            out.bytes_field(2, id(8));
            if (random_.below(3) == 0) out.bytes_field(3, text());
            attributes(out, 4, bytes);
            if (random_.below(5) == 0) out.varint_field(5, random_.below(70));
            if (random_.below(2) == 0) out.fixed32_field(6, static_cast<uint32_t>(random_.next()));
            out.end(link);
        }
        if (random_.below(9) == 0) out.varint_field(14, random_.below(1000));
        if (random_.below(4) == 0) {
            const size_t status = out.begin(15);
            if (random_.below(2) == 0) out.bytes_field(2, text());
            out.varint_field(3, random_.below(3));
            out.end(status);
        }
        if (random_.below(2) == 0) out.fixed32_field(16, 0x101);
        out.end(mark);
    }

    SeededRandom random_;
    std::vector<std::pair<std::string, std::vector<std::string>>> traces_;
};

}  // namespace spanloom::store
