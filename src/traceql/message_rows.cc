#include "traceql/message_rows.h"

#include <optional>

#include "otlp/tracestate.h"
#include "store/values.h"

namespace spanloom::traceql {
namespace {

using store::Field;
using store::Intrinsic;
using store::Scope;
using store::Table;
using store::Value;
using store::ValueKind;

// Of duplicate keys the last one counts.
template <typename Attributes>
Value attribute(const Attributes& attributes, std::string_view key) {
    std::optional<otlp::ValueView> found;
    for (const otlp::AttributeView& candidate : attributes) {
        if (candidate.key == key) found = candidate.value;
    }
    return found ? store::value_of(*found) : Value::nil();
}

template <typename Children>
uint32_t count(const Children& children) {
    uint32_t sum = 0;
    for (auto at = children.begin(); at != children.end(); ++at)
        ++sum;
    return sum;
}

template <typename View>
std::optional<View> child_at(const otlp::Repeated<View>& children, uint32_t index) {
    for (const View& child : children) {
        if (index-- == 0) return child;
    }
    return std::nullopt;
}

// The value of one child, or of the first that has one.
template <typename View, typename Read>
Value of_child(const otlp::Repeated<View>& children, uint32_t index, Read&& read) {
    if (index != Place::kNone) {
        const auto child = child_at(children, index);
        return child ? read(*child) : Value::nil();
    }
    for (const View& child : children) {
        Value value = read(child);
        if (value.kind != ValueKind::kNil) return value;
    }
    return Value::nil();
}

}  // namespace

MessageRows::MessageRows(const Trace& trace) : trace_(trace) {}

uint32_t MessageRows::children(Table table, uint32_t row) {
    const otlp::SpanView& span = trace_.spans[row];
    return table == Table::kEvents ? count(span.events()) : count(span.links());
}

double MessageRows::weight(uint32_t row) {
    return otlp::adjusted_count(trace_.spans[row].trace_state).value;
}

Value MessageRows::value(const Field& field, const Place& place) {
    const otlp::SpanView& span = trace_.spans[place.row];
    const auto read = [&](const auto& view) { return attribute(view.attributes(), field.key); };
    switch (field.scope) {
        case Scope::kIntrinsic:
            return intrinsic(field.intrinsic, place);
        case Scope::kSpan:
            return read(span);
        case Scope::kResource:
            return read(trace_.resources[trace_.resource_of[place.row]]);
        case Scope::kInstrumentation:
            return read(trace_.scopes[trace_.scope_of[place.row]]);
        case Scope::kEvent:
            return of_child(span.events(), place.event, read);
        case Scope::kLink:
            return of_child(span.links(), place.link, read);
        case Scope::kAny:
            break;
    }
    for (const Scope scope :
         {Scope::kSpan, Scope::kResource, Scope::kEvent, Scope::kLink, Scope::kInstrumentation}) {
        Value found = value({scope, Intrinsic::kNone, field.key}, {place.row});
        if (found.kind != ValueKind::kNil) return found;
    }
    return Value::nil();
}

Value MessageRows::intrinsic(Intrinsic which, const Place& place) const {
    const otlp::SpanView& span = trace_.spans[place.row];
    const otlp::ScopeView& scope = trace_.scopes[trace_.scope_of[place.row]];
    const auto text = [](std::string_view view) { return Value::of_string(std::string(view)); };
    switch (which) {
        case Intrinsic::kDuration:
            return Value::of_duration(static_cast<int64_t>(
                std::min<uint64_t>(span.duration_ns(), static_cast<uint64_t>(INT64_MAX))));
        case Intrinsic::kName:
            return text(span.name);
        case Intrinsic::kStatus:
            return Value::of_status(span.status);
        case Intrinsic::kStatusMessage:
            return text(span.status_message);
        case Intrinsic::kKind:
            return Value::of_kind(span.kind);
        case Intrinsic::kStart:
            return Value::of_int(static_cast<int64_t>(span.start_ns));
        case Intrinsic::kTraceId:
            return Value::of_string(span.trace_id.hex());
        case Intrinsic::kSpanId:
            return Value::of_string(span.span_id.hex());
        case Intrinsic::kParentId:
            return Value::of_string(span.parent_span_id.is_zero() ? "" : span.parent_span_id.hex());
        case Intrinsic::kTraceState:
            return text(span.trace_state);
        case Intrinsic::kSampled:
            return Value::of_bool((span.flags & 1) != 0);
        case Intrinsic::kInstrumentationName:
            return text(scope.name);
        case Intrinsic::kInstrumentationVersion:
            return text(scope.version);
        case Intrinsic::kEventName:
            return of_child(span.events(), place.event,
                            [&](const otlp::EventView& event) { return text(event.name); });
        case Intrinsic::kEventTimeSinceStart:
            return of_child(span.events(), place.event, [&](const otlp::EventView& event) {
                return Value::of_duration(static_cast<int64_t>(event.time_ns - span.start_ns));
            });
        case Intrinsic::kLinkTraceId:
            return of_child(span.links(), place.link, [](const otlp::LinkView& link) {
                return Value::of_string(link.trace_id.hex());
            });
        case Intrinsic::kLinkSpanId:
            return of_child(span.links(), place.link, [](const otlp::LinkView& link) {
                return Value::of_string(link.span_id.hex());
            });
        default:
            return Value::nil();
    }
}

}  // namespace spanloom::traceql
