#pragma once

#include <cstdint>
#include <string_view>

#include "otlp/ids.h"
#include "otlp/wire.h"

// Reading OTLP messages (opentelemetry-proto 1.11, trace.proto and common.proto) in place. Views
// point into bytes that `decode` has checked from end to end, so reading them cannot fail; they own
// nothing and must not outlive the Blob below them. Text may still be invalid UTF-8.
//
// Where a field that may occur once occurs twice, the last one wins. (Protobuf merges two
// occurrences of one sub-message; no sender writes that, and a last Resource is a whole one.)
namespace spanloom::otlp {

enum class ValueType : uint8_t { kEmpty, kString, kBool, kInt, kDouble, kArray, kKvlist, kBytes };

struct AttributeView;

// One AnyValue. Nested at most as deep as DecodeLimits allow.
struct ValueView {
    ValueType type = ValueType::kEmpty;
    bool boolean = false;
    int64_t integer = 0;
    double number = 0;
    std::string_view bytes;    // kString, kBytes: the text; kArray, kKvlist: the inner message
    std::string_view message;  // the whole AnyValue message, as received

    static ValueView parse(std::string_view message);
    Repeated<ValueView> elements() const;     // of a kArray
    Repeated<AttributeView> entries() const;  // of a kKvlist
};

struct AttributeView {
    std::string_view key;
    ValueView value;

    static AttributeView parse(std::string_view message);
};

inline Repeated<ValueView> ValueView::elements() const {
    return {bytes, 1};
}
inline Repeated<AttributeView> ValueView::entries() const {
    return {bytes, 1};
}

// These two are inline because they run once for every attribute of every span.
inline ValueView ValueView::parse(std::string_view message) {
    ValueView value;
    value.message = message;
    WireReader reader(message);
    while (reader.next()) {
        switch (reader.field() << 3 | reader.wire_type()) {
            case 1 << 3 | 2:
                value.type = ValueType::kString;
                value.bytes = reader.bytes();
                break;
            case 2 << 3 | 0:
                value.type = ValueType::kBool;
                value.boolean = reader.varint() != 0;
                break;
            case 3 << 3 | 0:
                value.type = ValueType::kInt;
                value.integer = static_cast<int64_t>(reader.varint());
                break;
            case 4 << 3 | 1:
                value.type = ValueType::kDouble;
                value.number = reader.float64();
                break;
            case 5 << 3 | 2:
                value.type = ValueType::kArray;
                value.bytes = reader.bytes();
                break;
            case 6 << 3 | 2:
                value.type = ValueType::kKvlist;
                value.bytes = reader.bytes();
                break;
            case 7 << 3 | 2:
                value.type = ValueType::kBytes;
                value.bytes = reader.bytes();
                break;
            default:
                reader.skip();
                break;
        }
    }
    return value;
}

inline AttributeView AttributeView::parse(std::string_view message) {
    AttributeView attribute;
    WireReader reader(message);
    while (reader.next()) {
        if (reader.wire_type() == 2 && reader.field() == 1) {
            attribute.key = reader.bytes();
        } else if (reader.wire_type() == 2 && reader.field() == 2) {
            attribute.value = ValueView::parse(reader.bytes());
        } else {
            reader.skip();
        }
    }
    return attribute;
}

struct EventView {
    uint64_t time_ns = 0;
    std::string_view name;
    uint32_t dropped_attributes = 0;
    std::string_view message;

    static EventView parse(std::string_view message);
    Repeated<AttributeView> attributes() const { return {message, 3}; }
};

struct LinkView {
    TraceId trace_id;
    SpanId span_id;
    std::string_view trace_state;
    uint32_t dropped_attributes = 0;
    uint32_t flags = 0;
    std::string_view message;

    static LinkView parse(std::string_view message);
    Repeated<AttributeView> attributes() const { return {message, 4}; }
};

enum class SpanKind : uint8_t { kUnspecified, kInternal, kServer, kClient, kProducer, kConsumer };
enum class StatusCode : uint8_t { kUnset, kOk, kError };

struct SpanView {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_span_id;  // zero: a root
    std::string_view trace_state;
    std::string_view name;
    SpanKind kind = SpanKind::kUnspecified;  // unknown numbers read as kUnspecified
    StatusCode status = StatusCode::kUnset;
    std::string_view status_message;
    uint32_t flags = 0;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint32_t dropped_attributes = 0;
    uint32_t dropped_events = 0;
    uint32_t dropped_links = 0;
    std::string_view message;

    static SpanView parse(std::string_view message);
    // Saturates: an end before the start is 0.
    uint64_t duration_ns() const { return end_ns > start_ns ? end_ns - start_ns : 0; }
    Repeated<AttributeView> attributes() const { return {message, 9}; }
    Repeated<EventView> events() const { return {message, 11}; }
    Repeated<LinkView> links() const { return {message, 13}; }
};

// Resource and InstrumentationScope have their attributes and dropped counts under other numbers.
struct ResourceView {
    uint32_t dropped_attributes = 0;
    std::string_view message;

    static ResourceView parse(std::string_view message);
    Repeated<AttributeView> attributes() const { return {message, 1}; }
    // service.name where it is a string, else "".
    std::string_view service_name() const;
};

struct ScopeView {
    std::string_view name;
    std::string_view version;
    uint32_t dropped_attributes = 0;
    std::string_view message;

    static ScopeView parse(std::string_view message);
    Repeated<AttributeView> attributes() const { return {message, 3}; }
};

}  // namespace spanloom::otlp
