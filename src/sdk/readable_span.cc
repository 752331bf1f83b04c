#include "otlp/view.h"
#include "spanloom/processor.h"

namespace spanloom {
namespace {

ReadValue read_value(const otlp::ValueView& view) noexcept {
    using Type = AttributeValue::Type;
    ReadValue value;
    value.boolean = view.boolean;
    value.integer = view.integer;
    value.number = view.number;
    value.bytes = view.bytes;
    value.message = view.message;
    switch (view.type) {
        case otlp::ValueType::kEmpty:
            break;
        case otlp::ValueType::kString:
            value.type = Type::kString;
            break;
        case otlp::ValueType::kBool:
            value.type = Type::kBool;
            break;
        case otlp::ValueType::kInt:
            value.type = Type::kInt;
            break;
        case otlp::ValueType::kDouble:
            value.type = Type::kDouble;
            break;
        case otlp::ValueType::kArray:
            value.type = Type::kArray;
            break;
        case otlp::ValueType::kKvlist:
            value.type = Type::kMap;
            break;
        case otlp::ValueType::kBytes:
            value.type = Type::kBytes;
            break;
    }
    return value;
}

using VisitAttribute = FunctionRef<void(std::string_view, const ReadValue&)>;

void visit_all(const otlp::Repeated<otlp::AttributeView>& attributes, VisitAttribute visit) {
    for (const otlp::AttributeView attribute : attributes)
        visit(attribute.key, read_value(attribute.value));
}

}  // namespace

void ReadValue::for_each_element(FunctionRef<void(const ReadValue&)> visit) const {
    if (type != AttributeValue::Type::kArray) return;
    for (const otlp::ValueView element : otlp::ValueView::parse(message).elements())
        visit(read_value(element));
}

void ReadValue::for_each_entry(VisitAttribute visit) const {
    if (type != AttributeValue::Type::kMap) return;
    visit_all(otlp::ValueView::parse(message).entries(), visit);
}

void ReadEvent::for_each_attribute(VisitAttribute visit) const {
    visit_all(otlp::EventView::parse(message).attributes(), visit);
}

void ReadLink::for_each_attribute(VisitAttribute visit) const {
    visit_all(otlp::LinkView::parse(message).attributes(), visit);
}

SpanId ReadableSpan::parent_span_id() const noexcept {
    return otlp::SpanView::parse(message_).parent_span_id;
}

std::string_view ReadableSpan::name() const noexcept {
    return otlp::SpanView::parse(message_).name;
}

SpanKind ReadableSpan::kind() const noexcept {
    return static_cast<SpanKind>(otlp::SpanView::parse(message_).kind);
}

uint64_t ReadableSpan::start_unix_ns() const noexcept {
    return otlp::SpanView::parse(message_).start_ns;
}

uint64_t ReadableSpan::end_unix_ns() const noexcept {
    return otlp::SpanView::parse(message_).end_ns;
}

uint64_t ReadableSpan::duration_ns() const noexcept {
    return otlp::SpanView::parse(message_).duration_ns();
}

StatusCode ReadableSpan::status() const noexcept {
    return static_cast<StatusCode>(otlp::SpanView::parse(message_).status);
}

std::string_view ReadableSpan::status_description() const noexcept {
    return otlp::SpanView::parse(message_).status_message;
}

uint32_t ReadableSpan::dropped_attributes() const noexcept {
    return otlp::SpanView::parse(message_).dropped_attributes;
}

uint32_t ReadableSpan::dropped_events() const noexcept {
    return otlp::SpanView::parse(message_).dropped_events;
}

uint32_t ReadableSpan::dropped_links() const noexcept {
    return otlp::SpanView::parse(message_).dropped_links;
}

ReadValue ReadableSpan::attribute(std::string_view key) const noexcept {
    for (const otlp::AttributeView attribute : otlp::SpanView::parse(message_).attributes()) {
        if (attribute.key == key) return read_value(attribute.value);
    }
    return {};
}

void ReadableSpan::for_each_attribute(VisitAttribute visit) const {
    visit_all(otlp::SpanView::parse(message_).attributes(), visit);
}

void ReadableSpan::for_each_event(FunctionRef<void(const ReadEvent&)> visit) const {
    for (const otlp::EventView event : otlp::SpanView::parse(message_).events())
        visit({event.time_ns, event.name, event.dropped_attributes, event.message});
}

void ReadableSpan::for_each_link(FunctionRef<void(const ReadLink&)> visit) const {
    for (const otlp::LinkView link : otlp::SpanView::parse(message_).links()) {
        const bool is_remote = (link.flags & 0x300) == 0x300;
        visit({SpanContext(link.trace_id, link.span_id,
                           TraceFlags{static_cast<uint8_t>(link.flags & 0x03)},
                           TraceState::parse(link.trace_state), is_remote),
               link.dropped_attributes, link.message});
    }
}

}  // namespace spanloom
