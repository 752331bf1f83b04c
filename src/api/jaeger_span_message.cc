#include "api/jaeger_span_message.h"

#include "api/jaeger_span.h"
#include "otlp/json.h"
#include "otlp/writer.h"

namespace spanloom::api {
namespace {

using otlp::WireWriter;

// ValueType of model.proto.
enum ModelType : uint8_t { kString = 0, kBool = 1, kInt64 = 2, kFloat64 = 3, kBinary = 4 };

std::string_view text_of(const auto& id) {
    return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

// Timestamp and Duration have the same fields.
void write_time(WireWriter& out, uint32_t field, uint64_t ns) {
    constexpr uint64_t kSecondNs = 1'000'000'000;
    const size_t mark = out.begin(field);
    out.varint_field(1, ns / kSecondNs);
    out.varint_field(2, ns % kSecondNs);
    out.end(mark);
}

// KeyValue: {1 key, 2 v_type, 3 v_str, 4 v_bool, 5 v_int64, 6 v_float64, 7 v_binary}.
void write_tag(WireWriter& out, uint32_t field, const otlp::AttributeView& attribute) {
    const otlp::ValueView& value = attribute.value;
    const size_t mark = out.begin(field);
    out.bytes_field(1, attribute.key);
    switch (value.type) {
        case otlp::ValueType::kBool:
            out.varint_field(2, kBool);
            out.varint_field(4, value.boolean ? 1 : 0);
            break;
        case otlp::ValueType::kInt:
            out.varint_field(2, kInt64);
            out.varint_field(5, static_cast<uint64_t>(value.integer));
            break;
        case otlp::ValueType::kDouble:
            out.varint_field(2, kFloat64);
            out.double_field(6, value.number);
            break;
        case otlp::ValueType::kBytes:
            out.varint_field(2, kBinary);
            out.bytes_field(7, value.bytes);
            break;
        case otlp::ValueType::kArray:
        case otlp::ValueType::kKvlist: {
            std::string text;
            JsonWriter json(text);
            otlp::append_value_json(json, value, otlp::ValueForm::kPlain);
            out.bytes_field(3, text);
            break;
        }
        default:
            out.bytes_field(3, value.bytes);
            break;
    }
    out.end(mark);
}

// SpanRef: {1 trace_id, 2 span_id, 3 ref_type}.
void write_references(WireWriter& out, const otlp::SpanView& span) {
    for_each_jaeger_reference(
        span, [&](bool is_child_of, const TraceId& trace_id, const SpanId& span_id) {
            const size_t mark = out.begin(4);
            out.bytes_field(1, text_of(trace_id));
            out.bytes_field(2, text_of(span_id));
            out.varint_field(3, is_child_of ? 0 : 1);
            out.end(mark);
        });
}

// Log: {1 timestamp, 2 fields}.
void write_logs(WireWriter& out, const otlp::SpanView& span) {
    for (const otlp::EventView& event : span.events()) {
        const size_t mark = out.begin(9);
        write_time(out, 1, event.time_ns);
        write_tag(out, 2, jaeger_tag("event", event.name));
        for (const otlp::AttributeView& attribute : event.attributes())
            write_tag(out, 2, attribute);
        out.end(mark);
    }
}

// Process: {1 service_name, 2 tags}.
void write_process(WireWriter& out, const otlp::ResourceView& resource) {
    const size_t mark = out.begin(10);
    const std::string_view service = resource.service_name();
    out.bytes_field(1, service.empty() ? kJaegerNoServiceName : service);
    for (const otlp::AttributeView& attribute : resource.attributes()) {
        const bool is_name =
            attribute.key == "service.name" && attribute.value.type == otlp::ValueType::kString;
        if (!is_name) write_tag(out, 2, attribute);
    }
    out.end(mark);
}

}  // namespace

void write_jaeger_span(std::string& bytes, uint32_t field, const traceql::Trace& trace,
                       uint32_t row) {
    const otlp::SpanView& span = trace.spans[row];
    WireWriter out(bytes);
    const size_t mark = out.begin(field);
    out.bytes_field(1, text_of(span.trace_id));
    out.bytes_field(2, text_of(span.span_id));
    out.bytes_field(3, span.name);
    write_references(out, span);
    if (jaeger_flags(span) != 0) out.varint_field(5, jaeger_flags(span));
    write_time(out, 6, span.start_ns);
    write_time(out, 7, span.duration_ns());
    for_each_jaeger_tag(span, trace.scopes[trace.scope_of[row]],
                        [&](const otlp::AttributeView& tag) { write_tag(out, 8, tag); });
    write_logs(out, span);
    write_process(out, trace.resources[trace.resource_of[row]]);
    if (const std::string_view warning = jaeger_warning(span); !warning.empty())
        out.bytes_field(12, warning);
    out.end(mark);
}

}  // namespace spanloom::api
