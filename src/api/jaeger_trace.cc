#include "api/jaeger_trace.h"

#include <numeric>
#include <unordered_map>
#include <vector>

#include "api/jaeger_span.h"
#include "base/text.h"
#include "otlp/json.h"

namespace spanloom::api {
namespace {

// Larger integers are not exact in JavaScript: they travel as text.
constexpr int64_t kExactIntegerMax = (int64_t{1} << 53) - 1;

void write_integer(JsonWriter& json, int64_t value) {
    if (value > kExactIntegerMax || value < -kExactIntegerMax) {
        json.quoted(value);
    } else {
        json.number(value);
    }
}

void write_tag(JsonWriter& json, const otlp::AttributeView& attribute) {
    const otlp::ValueView& value = attribute.value;
    json.begin_object().field("key", attribute.key);
    switch (value.type) {
        case otlp::ValueType::kBool:
            json.field("type", std::string_view("bool")).field("value", value.boolean);
            break;
        case otlp::ValueType::kInt:
            json.field("type", std::string_view("int64")).key("value");
            write_integer(json, value.integer);
            break;
        case otlp::ValueType::kDouble:
            json.field("type", std::string_view("float64")).field("value", value.number);
            break;
        case otlp::ValueType::kBytes: {
            std::string text;
            append_base64(text, value.bytes);
            json.field("type", std::string_view("binary")).field("value", text);
            break;
        }
        case otlp::ValueType::kArray:
        case otlp::ValueType::kKvlist: {
            std::string text;
            JsonWriter inner(text);
            otlp::append_value_json(inner, value, otlp::ValueForm::kPlain);
            json.field("type", std::string_view("string")).field("value", text);
            break;
        }
        default:
            json.field("type", std::string_view("string")).field("value", value.bytes);
            break;
    }
    json.end_object();
}

// Numbers p1, p2 and so on, one per distinct resource.
class Processes {
  public:
    explicit Processes(const traceql::Trace& trace) : trace_(trace) {}

    std::string id_of(uint32_t row) {
        const uint32_t resource = trace_.resource_of[row];
        const auto [found, is_new] =
            number_.try_emplace(trace_.resources[resource].message, resources_.size() + 1);
        if (is_new) resources_.push_back(resource);
        return "p" + std::to_string(found->second);
    }

    void write(JsonWriter& json) const {
        json.begin_object();
        for (size_t i = 0; i < resources_.size(); ++i) {
            const otlp::ResourceView& resource = trace_.resources[resources_[i]];
            const std::string_view service = resource.service_name();
            json.key("p" + std::to_string(i + 1)).begin_object();
            json.field("serviceName", service.empty() ? kJaegerNoServiceName : service);
            json.key("tags").begin_array();
            for (const otlp::AttributeView& attribute : resource.attributes()) {
                const bool is_name = attribute.key == "service.name" &&
                                     attribute.value.type == otlp::ValueType::kString;
                if (!is_name) write_tag(json, attribute);
            }
            json.end_array().end_object();
        }
        json.end_object();
    }

  private:
    const traceql::Trace& trace_;
    std::unordered_map<std::string_view, size_t> number_;
    std::vector<uint32_t> resources_;
};

void write_reference(JsonWriter& json, std::string_view type, const TraceId& trace_id,
                     const SpanId& span_id) {
    json.begin_object().field("refType", type).field("traceID", trace_id.hex());
    json.field("spanID", span_id.hex()).end_object();
}

void write_references(JsonWriter& json, const otlp::SpanView& span) {
    json.key("references").begin_array();
    for_each_jaeger_reference(
        span, [&](bool is_child_of, const TraceId& trace_id, const SpanId& span_id) {
            write_reference(json, is_child_of ? "CHILD_OF" : "FOLLOWS_FROM", trace_id, span_id);
        });
    json.end_array();
}

void write_tags(JsonWriter& json, const otlp::SpanView& span, const otlp::ScopeView& scope) {
    json.key("tags").begin_array();
    for_each_jaeger_tag(span, scope, [&](const otlp::AttributeView& tag) { write_tag(json, tag); });
    json.end_array();
}

void write_logs(JsonWriter& json, const otlp::SpanView& span) {
    json.key("logs").begin_array();
    for (const otlp::EventView& event : span.events()) {
        json.begin_object().field("timestamp", event.time_ns / 1000);
        json.key("fields").begin_array();
        write_tag(json, jaeger_tag("event", event.name));
        for (const otlp::AttributeView& attribute : event.attributes())
            write_tag(json, attribute);
        json.end_array().end_object();
    }
    json.end_array();
}

void write_span(JsonWriter& json, const traceql::Trace& trace, uint32_t row, Processes& processes) {
    const otlp::SpanView& span = trace.spans[row];
    json.begin_object();
    json.field("traceID", span.trace_id.hex()).field("spanID", span.span_id.hex());
    if (jaeger_flags(span) != 0) json.field("flags", jaeger_flags(span));
    json.field("operationName", span.name);
    write_references(json, span);
    json.field("startTime", span.start_ns / 1000).field("duration", span.duration_ns() / 1000);
    write_tags(json, span, trace.scopes[trace.scope_of[row]]);
    write_logs(json, span);
    json.field("processID", processes.id_of(row));
    json.key("warnings");
    if (const std::string_view warning = jaeger_warning(span); !warning.empty()) {
        json.begin_array().string(warning).end_array();
    } else {
        json.null();
    }
    json.end_object();
}

}  // namespace

void write_jaeger_trace(JsonWriter& json, const traceql::Trace& trace,
                        std::span<const uint32_t> rows) {
    Processes processes(trace);
    json.begin_object();
    json.field("traceID", rows.empty() ? std::string() : trace.spans[rows[0]].trace_id.hex());
    json.key("spans").begin_array();
    for (const uint32_t row : rows)
        write_span(json, trace, row, processes);
    json.end_array().key("processes");
    processes.write(json);
    json.key("warnings");
    if (trace.is_partial) {
        json.begin_array().string("a part of this trace is damaged on disk").end_array();
    } else {
        json.null();
    }
    json.end_object();
}

void write_jaeger_trace(JsonWriter& json, const traceql::Trace& trace) {
    std::vector<uint32_t> rows(trace.spans.size());
    std::iota(rows.begin(), rows.end(), 0U);
    write_jaeger_trace(json, trace, rows);
}

std::string indent_json(std::string_view json) {
    std::string out;
    size_t depth = 0;
    bool in_string = false;
    const auto new_line = [&] {
        out += '\n';
        out.append(depth * 4, ' ');
    };
    for (size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (in_string) {
            out += c;
            if (c == '\\' && i + 1 < json.size()) out += json[++i];
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        const bool closes = c == '}' || c == ']';
        const bool is_empty = closes && i > 0 && (json[i - 1] == '{' || json[i - 1] == '[');
        if (closes) --depth;
        if (closes && !is_empty) new_line();
        out += c;
        if (c == ':') out += ' ';
        if (c == '{' || c == '[') ++depth;
        const bool opens_empty = (c == '{' || c == '[') && i + 1 < json.size() &&
                                 (json[i + 1] == '}' || json[i + 1] == ']');
        if (c == ',' || ((c == '{' || c == '[') && !opens_empty)) new_line();
    }
    return out;
}

}  // namespace spanloom::api
