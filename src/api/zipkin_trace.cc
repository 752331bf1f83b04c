#include "api/zipkin_trace.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include <arpa/inet.h>

#include "otlp/json.h"

namespace spanloom::api {
namespace {

using otlp::AttributeView;
using otlp::SpanView;
using otlp::ValueType;
using otlp::ValueView;

constexpr std::array<std::string_view, 6> kKinds = {"",       "",         "SERVER",
                                                    "CLIENT", "PRODUCER", "CONSUMER"};

std::optional<ValueView> find(const SpanView& span, std::string_view key) {
    std::optional<ValueView> found;
    for (const AttributeView attribute : span.attributes()) {
        if (attribute.key == key) found = attribute.value;
    }
    return found;
}

bool is_set(const SpanView& span, std::string_view key) {
    const auto value = find(span, key);
    return value && value->type == ValueType::kBool && value->boolean;
}

struct RemoteNames {
    std::string_view address;
    std::string_view port;
};

RemoteNames remote_names(otlp::SpanKind kind) {
    switch (kind) {
        case otlp::SpanKind::kServer:
            return {"client.address", "client.port"};
        case otlp::SpanKind::kClient:
        case otlp::SpanKind::kProducer:
        case otlp::SpanKind::kConsumer:
            return {"server.address", "server.port"};
        default:
            return {"network.peer.address", "network.peer.port"};
    }
}

// One side of a span. What went into it is no tag any more.
class EndpointWriter {
  public:
    EndpointWriter(const SpanView& span, std::set<std::string_view>& used)
        : span_(span), used_(used) {}

    void write(JsonWriter& json, std::string_view name, std::string_view service,
               const RemoteNames& names) {
        std::string body;
        JsonWriter inner(body);
        inner.begin_object();
        if (!service.empty()) inner.field("serviceName", lower_case(service));
        if (const auto address = find(span_, names.address))
            add_address(inner, names.address, std::string(address->bytes));
        const auto port = find(span_, names.port);
        if (port && port->type == ValueType::kInt && port->integer > 0 && port->integer < 65'536) {
            inner.field("port", port->integer);
            used_.insert(names.port);
        }
        inner.end_object();
        if (body != "{}") json.key(name).raw(body);
    }

  private:
    // Zipkin has places for addresses, not for host names: those stay tags.
    void add_address(JsonWriter& json, std::string_view key, const std::string& text) {
        std::array<uint8_t, 16> ignored{};
        const bool is_v4 = inet_pton(AF_INET, text.c_str(), ignored.data()) == 1;
        if (!is_v4 && inet_pton(AF_INET6, text.c_str(), ignored.data()) != 1) return;
        json.field(is_v4 ? "ipv4" : "ipv6", text);
        used_.insert(key);
    }

    const SpanView& span_;
    std::set<std::string_view>& used_;
};

// OpenTelemetry's rule: the name, and with attributes "name": {...}.
std::string annotation_text(const otlp::EventView& event) {
    std::string attributes;
    JsonWriter json(attributes);
    json.begin_object();
    for (const AttributeView attribute : event.attributes()) {
        json.key(attribute.key);
        otlp::append_value_json(json, attribute.value, otlp::ValueForm::kPlain);
    }
    json.end_object();
    if (attributes == "{}") return std::string(event.name);
    std::string text;
    JsonWriter(text).string(event.name);
    return text + ": " + attributes;
}

void write_annotations(JsonWriter& json, const SpanView& span) {
    if (span.events().empty()) return;
    json.key("annotations").begin_array();
    for (const otlp::EventView event : span.events()) {
        json.begin_object().field("timestamp", event.time_ns / 1000);
        json.field("value", annotation_text(event)).end_object();
    }
    json.end_array();
}

class TagWriter {
  public:
    TagWriter(JsonWriter& json, const std::set<std::string_view>& used) : json_(json), used_(used) {
        json_.key("tags").begin_object();
    }
    void add(std::string_view key, const std::string& value) {
        if (!used_.contains(key) && written_.insert(std::string(key)).second)
            json_.field(key, value);
    }
    void finish() { json_.end_object(); }

  private:
    JsonWriter& json_;
    const std::set<std::string_view>& used_;
    std::set<std::string> written_;  // the first of several with one key counts
};

void write_tags(JsonWriter& json, const traceql::Trace& trace, uint32_t row,
                const std::set<std::string_view>& used) {
    const SpanView& span = trace.spans[row];
    const otlp::ScopeView& scope = trace.scopes[trace.scope_of[row]];
    TagWriter tags(json, used);
    if (span.status == otlp::StatusCode::kError)
        tags.add("error", span.status_message.empty() ? "true" : std::string(span.status_message));
    if (span.status == otlp::StatusCode::kOk) tags.add("otel.status_code", "OK");
    for (const AttributeView attribute : span.attributes())
        tags.add(attribute.key, otlp::plain_text(attribute.value));
    if (!scope.name.empty()) tags.add("otel.scope.name", std::string(scope.name));
    if (!scope.version.empty()) tags.add("otel.scope.version", std::string(scope.version));
    if (!span.trace_state.empty()) tags.add("w3c.tracestate", std::string(span.trace_state));
    for (const AttributeView attribute : trace.resources[trace.resource_of[row]].attributes()) {
        if (attribute.key != "service.name")
            tags.add(attribute.key, otlp::plain_text(attribute.value));
    }
    tags.finish();
}

// 64-bit ids came with 16 digits and go out so.
std::string id_text(const TraceId& id) {
    std::string hex = id.hex();
    return hex.starts_with("0000000000000000") ? hex.substr(16) : hex;
}

void write_span(JsonWriter& json, const traceql::Trace& trace, uint32_t row) {
    const SpanView& span = trace.spans[row];
    std::set<std::string_view> used = {"zipkin.shared", "zipkin.debug", "zipkin.timestamp_missing",
                                       "peer.service"};
    json.begin_object().field("traceId", id_text(span.trace_id));
    if (!span.parent_span_id.is_zero()) json.field("parentId", span.parent_span_id.hex());
    json.field("id", span.span_id.hex());
    const std::string_view kind = kKinds[static_cast<size_t>(span.kind) % kKinds.size()];
    if (!kind.empty()) json.field("kind", kind);
    if (!span.name.empty()) json.field("name", lower_case(span.name));
    if (span.start_ns >= 1000 && !is_set(span, "zipkin.timestamp_missing"))
        json.field("timestamp", span.start_ns / 1000);
    if (const uint64_t duration = span.duration_ns(); duration > 0)
        json.field("duration", std::max<uint64_t>(duration / 1000, 1));
    EndpointWriter endpoints(span, used);
    endpoints.write(json, "localEndpoint", trace.service_of(row),
                    {"network.local.address", "network.local.port"});
    const auto peer = find(span, "peer.service");
    endpoints.write(json, "remoteEndpoint", peer ? peer->bytes : std::string_view(),
                    remote_names(span.kind));
    write_annotations(json, span);
    write_tags(json, trace, row, used);
    if (is_set(span, "zipkin.debug")) json.field("debug", true);
    if (is_set(span, "zipkin.shared")) json.field("shared", true);
    json.end_object();
}

}  // namespace

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

void write_zipkin_trace(JsonWriter& json, const traceql::Trace& trace) {
    json.begin_array();
    for (uint32_t row = 0; row < trace.spans.size(); ++row)
        write_span(json, trace, row);
    json.end_array();
}

}  // namespace spanloom::api
