#include <array>
#include <vector>

#include "base/text.h"
#include "otlp/json.h"

namespace spanloom::otlp {
namespace {

constexpr std::array<std::string_view, 6> kKindNames = {
    "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};
constexpr std::array<std::string_view, 3> kStatusNames = {"STATUS_CODE_UNSET", "STATUS_CODE_OK",
                                                          "STATUS_CODE_ERROR"};

std::string base64(std::string_view bytes) {
    std::string text;
    append_base64(text, bytes);
    return text;
}

// Writes one value without recursion: containers wait on a stack, which decode has bounded.
class ValueWriter {
  public:
    ValueWriter(JsonWriter& out, ValueForm form) : out_(out), form_(form) {}

    void write(const ValueView& value) {
        open(value);
        while (!stack_.empty())
            step();
    }

  private:
    struct Frame {
        WireReader reader;
        ValueType type;
    };

    bool is_tagged() const { return form_ == ValueForm::kTagged; }

    // Writes a scalar whole, or begins a container.
    void open(const ValueView& value) {
        if (is_tagged()) out_.begin_object();
        if (is_tagged() && is_empty_container(value)) {
            out_.key(container_name(value.type)).begin_object().end_object();
        } else if (value.type == ValueType::kArray || value.type == ValueType::kKvlist) {
            begin_container(value.type);
            stack_.push_back({WireReader(value.bytes), value.type});
            return;
        } else {
            write_scalar(value);
        }
        if (is_tagged()) out_.end_object();
        end_entry();
    }

    static std::string_view container_name(ValueType type) {
        return type == ValueType::kArray ? "arrayValue" : "kvlistValue";
    }
    static bool is_empty_container(const ValueView& value) {
        return (value.type == ValueType::kArray && value.elements().empty()) ||
               (value.type == ValueType::kKvlist && value.entries().empty());
    }

    void begin_container(ValueType type) {
        if (is_tagged()) {
            out_.key(container_name(type)).begin_object().key("values").begin_array();
        } else if (type == ValueType::kArray) {
            out_.begin_array();
        } else {
            out_.begin_object();
        }
    }

    void close() {
        const ValueType type = stack_.back().type;
        stack_.pop_back();
        if (is_tagged()) {
            out_.end_array().end_object().end_object();
        } else if (type == ValueType::kArray) {
            out_.end_array();
        } else {
            out_.end_object();
        }
        end_entry();
    }

    // Tagged maps wrap each key and value in an object of its own.
    void end_entry() {
        if (is_tagged() && !stack_.empty() && stack_.back().type == ValueType::kKvlist)
            out_.end_object();
    }

    void step() {
        WireReader& reader = stack_.back().reader;
        if (!reader.next()) return close();
        if (reader.field() != 1 || reader.wire_type() != 2) return reader.skip();
        const std::string_view message = reader.bytes();
        if (stack_.back().type == ValueType::kArray) return open(ValueView::parse(message));
        const AttributeView entry = AttributeView::parse(message);
        if (is_tagged()) {
            out_.begin_object().field("key", entry.key).key("value");
        } else {
            out_.key(entry.key);
        }
        open(entry.value);
    }

    void write_scalar(const ValueView& value) {
        const auto tag = [this](std::string_view name) -> JsonWriter& {
            return is_tagged() ? out_.key(name) : out_;
        };
        switch (value.type) {
            case ValueType::kString:
                tag("stringValue").string(value.bytes);
                break;
            case ValueType::kBool:
                tag("boolValue").boolean(value.boolean);
                break;
            case ValueType::kInt:
                if (is_tagged()) {
                    tag("intValue").quoted(value.integer);
                } else {
                    out_.number(value.integer);
                }
                break;
            case ValueType::kDouble:
                tag("doubleValue").number(value.number);
                break;
            case ValueType::kBytes:
                tag("bytesValue").string(base64(value.bytes));
                break;
            default:
                if (!is_tagged()) out_.null();
                break;
        }
    }

    JsonWriter& out_;
    const ValueForm form_;
    std::vector<Frame> stack_;
};

template <typename Id>
void append_id(JsonWriter& out, std::string_view name, const Id& id, JsonForm form) {
    if (!id.is_zero()) out.field(name, form == JsonForm::kOtlp ? id.hex() : base64(id.view()));
}

void append_text(JsonWriter& out, std::string_view name, std::string_view text) {
    if (!text.empty()) out.field(name, text);
}

void append_count(JsonWriter& out, std::string_view name, uint32_t count) {
    if (count != 0) out.field(name, count);
}

void append_time(JsonWriter& out, std::string_view name, uint64_t ns) {
    if (ns != 0) out.key(name).quoted(ns);
}

void append_attributes_field(JsonWriter& out, const Repeated<AttributeView>& attributes) {
    if (attributes.empty()) return;
    out.key("attributes");
    append_attributes_json(out, attributes);
}

void append_event(JsonWriter& out, const EventView& event) {
    out.begin_object();
    append_time(out, "timeUnixNano", event.time_ns);
    append_text(out, "name", event.name);
    append_attributes_field(out, event.attributes());
    append_count(out, "droppedAttributesCount", event.dropped_attributes);
    out.end_object();
}

void append_link(JsonWriter& out, const LinkView& link, JsonForm form) {
    out.begin_object();
    append_id(out, "traceId", link.trace_id, form);
    append_id(out, "spanId", link.span_id, form);
    append_text(out, "traceState", link.trace_state);
    append_attributes_field(out, link.attributes());
    append_count(out, "droppedAttributesCount", link.dropped_attributes);
    append_count(out, "flags", link.flags);
    out.end_object();
}

void append_status(JsonWriter& out, const SpanView& span, JsonForm form) {
    out.key("status").begin_object();
    append_text(out, "message", span.status_message);
    if (span.status != StatusCode::kUnset) {
        const auto code = static_cast<uint32_t>(span.status);
        if (form == JsonForm::kOtlp) {
            out.field("code", code);
        } else {
            out.field("code", kStatusNames[code]);
        }
    }
    out.end_object();
}

void append_resource(JsonWriter& out, const Batch& batch, const ResourceRef& ref) {
    const ResourceView resource = batch.resource(ref);
    out.key("resource").begin_object();
    append_attributes_field(out, resource.attributes());
    append_count(out, "droppedAttributesCount", resource.dropped_attributes);
    out.end_object();
}

void append_scope(JsonWriter& out, const Batch& batch, const ScopeRef& ref) {
    const ScopeView scope = batch.scope(ref);
    out.key("scope").begin_object();
    append_text(out, "name", scope.name);
    append_text(out, "version", scope.version);
    append_attributes_field(out, scope.attributes());
    append_count(out, "droppedAttributesCount", scope.dropped_attributes);
    out.end_object();
}

}  // namespace

void append_value_json(JsonWriter& out, const ValueView& value, ValueForm form) {
    ValueWriter(out, form).write(value);
}

std::string plain_text(const ValueView& value) {
    if (value.type == ValueType::kString) return std::string(value.bytes);
    std::string text;
    JsonWriter json(text);
    append_value_json(json, value, ValueForm::kPlain);
    if (text.size() >= 2 && text.front() == '"') return text.substr(1, text.size() - 2);
    return text;
}

void append_attributes_json(JsonWriter& out, const Repeated<AttributeView>& attributes) {
    out.begin_array();
    for (const AttributeView attribute : attributes) {
        out.begin_object().field("key", attribute.key).key("value");
        append_value_json(out, attribute.value);
        out.end_object();
    }
    out.end_array();
}

void append_span_json(JsonWriter& out, const SpanView& span, JsonForm form) {
    out.begin_object();
    append_id(out, "traceId", span.trace_id, form);
    append_id(out, "spanId", span.span_id, form);
    append_text(out, "traceState", span.trace_state);
    append_id(out, "parentSpanId", span.parent_span_id, form);
    append_count(out, "flags", span.flags);
    append_text(out, "name", span.name);
    if (span.kind != SpanKind::kUnspecified) {
        const auto kind = static_cast<uint32_t>(span.kind);
        if (form == JsonForm::kOtlp) {
            out.field("kind", kind);
        } else {
            out.field("kind", kKindNames[kind]);
        }
    }
    append_time(out, "startTimeUnixNano", span.start_ns);
    append_time(out, "endTimeUnixNano", span.end_ns);
    append_attributes_field(out, span.attributes());
    append_count(out, "droppedAttributesCount", span.dropped_attributes);
    if (const auto events = span.events(); !events.empty()) {
        out.key("events").begin_array();
        for (const EventView event : events)
            append_event(out, event);
        out.end_array();
    }
    append_count(out, "droppedEventsCount", span.dropped_events);
    if (const auto links = span.links(); !links.empty()) {
        out.key("links").begin_array();
        for (const LinkView link : links)
            append_link(out, link, form);
        out.end_array();
    }
    append_count(out, "droppedLinksCount", span.dropped_links);
    append_status(out, span, form);
    out.end_object();
}

// The tables are in the order of the bytes, so equal resources and scopes stand together.
void append_resource_spans_json(JsonWriter& out, const Batch& batch, JsonForm form) {
    out.begin_array();
    for (size_t i = 0; i < batch.spans.size();) {
        const uint32_t resource = batch.scopes[batch.spans[i].scope].resource;
        const ResourceRef& resource_ref = batch.resources[resource];
        out.begin_object();
        append_resource(out, batch, resource_ref);
        out.key("scopeSpans").begin_array();
        while (i < batch.spans.size() && batch.scopes[batch.spans[i].scope].resource == resource) {
            const uint32_t scope = batch.spans[i].scope;
            out.begin_object();
            append_scope(out, batch, batch.scopes[scope]);
            out.key("spans").begin_array();
            for (; i < batch.spans.size() && batch.spans[i].scope == scope; ++i)
                append_span_json(out, batch.span(batch.spans[i]), form);
            out.end_array();
            append_text(out, "schemaUrl", batch.at(batch.scopes[scope].schema_url));
            out.end_object();
        }
        out.end_array();
        append_text(out, "schemaUrl", batch.at(resource_ref.schema_url));
        out.end_object();
    }
    out.end_array();
}

void write_traces_json(JsonWriter& out, const Batch& batch, JsonForm form) {
    out.begin_object().key("resourceSpans");
    append_resource_spans_json(out, batch, form);
    out.end_object();
}

}  // namespace spanloom::otlp
