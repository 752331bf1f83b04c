#include "otlp/view.h"

namespace spanloom::otlp {
namespace {

// Ids of another length than theirs stay zero: the span itself is checked by decode, a link's ids
// are the sender's affair.
template <typename Id>
Id read_id(std::string_view bytes) {
    Id id;
    if (bytes.size() == id.bytes.size()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
    return id;
}

constexpr uint32_t key_of(uint32_t field, uint32_t wire_type) {
    return field << 3 | wire_type;
}
uint32_t key_of(const WireReader& reader) {
    return key_of(reader.field(), reader.wire_type());
}

void read_status(std::string_view message, SpanView& span) {
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(2, 2):
                span.status_message = reader.bytes();
                break;
            case key_of(3, 0): {
                const auto code = static_cast<uint32_t>(reader.varint());
                span.status = code <= 2 ? static_cast<StatusCode>(code) : StatusCode::kUnset;
                break;
            }
            default:
                reader.skip();
                break;
        }
    }
}

}  // namespace

EventView EventView::parse(std::string_view message) {
    EventView event;
    event.message = message;
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(1, 1):
                event.time_ns = reader.fixed64();
                break;
            case key_of(2, 2):
                event.name = reader.bytes();
                break;
            case key_of(4, 0):
                event.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            default:
                reader.skip();
                break;
        }
    }
    return event;
}

LinkView LinkView::parse(std::string_view message) {
    LinkView link;
    link.message = message;
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(1, 2):
                link.trace_id = read_id<TraceId>(reader.bytes());
                break;
            case key_of(2, 2):
                link.span_id = read_id<SpanId>(reader.bytes());
                break;
            case key_of(3, 2):
                link.trace_state = reader.bytes();
                break;
            case key_of(5, 0):
                link.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(6, 5):
                link.flags = reader.fixed32();
                break;
            default:
                reader.skip();
                break;
        }
    }
    return link;
}

SpanView SpanView::parse(std::string_view message) {
    SpanView span;
    span.message = message;
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(1, 2):
                span.trace_id = read_id<TraceId>(reader.bytes());
                break;
            case key_of(2, 2):
                span.span_id = read_id<SpanId>(reader.bytes());
                break;
            case key_of(3, 2):
                span.trace_state = reader.bytes();
                break;
            case key_of(4, 2):
                span.parent_span_id = read_id<SpanId>(reader.bytes());
                break;
            case key_of(5, 2):
                span.name = reader.bytes();
                break;
            case key_of(6, 0): {
                const auto kind = static_cast<uint32_t>(reader.varint());
                span.kind = kind <= 5 ? static_cast<SpanKind>(kind) : SpanKind::kUnspecified;
                break;
            }
            case key_of(7, 1):
                span.start_ns = reader.fixed64();
                break;
            case key_of(8, 1):
                span.end_ns = reader.fixed64();
                break;
            case key_of(10, 0):
                span.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(12, 0):
                span.dropped_events = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(14, 0):
                span.dropped_links = static_cast<uint32_t>(reader.varint());
                break;
            case key_of(15, 2):
                read_status(reader.bytes(), span);
                break;
            case key_of(16, 5):
                span.flags = reader.fixed32();
                break;
            default:
                reader.skip();
                break;
        }
    }
    return span;
}

ResourceView ResourceView::parse(std::string_view message) {
    ResourceView resource;
    resource.message = message;
    WireReader reader(message);
    while (reader.next()) {
        if (key_of(reader) == key_of(2, 0)) {
            resource.dropped_attributes = static_cast<uint32_t>(reader.varint());
        } else {
            reader.skip();
        }
    }
    return resource;
}

std::string_view ResourceView::service_name() const {
    std::string_view name;
    for (const AttributeView attribute : attributes()) {
        if (attribute.key == "service.name")
            name = attribute.value.type == ValueType::kString ? attribute.value.bytes
                                                              : std::string_view();
    }
    return name;
}

ScopeView ScopeView::parse(std::string_view message) {
    ScopeView scope;
    scope.message = message;
    WireReader reader(message);
    while (reader.next()) {
        switch (key_of(reader)) {
            case key_of(1, 2):
                scope.name = reader.bytes();
                break;
            case key_of(2, 2):
                scope.version = reader.bytes();
                break;
            case key_of(4, 0):
                scope.dropped_attributes = static_cast<uint32_t>(reader.varint());
                break;
            default:
                reader.skip();
                break;
        }
    }
    return scope;
}

}  // namespace spanloom::otlp
