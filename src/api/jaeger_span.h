#pragma once

#include <array>
#include <string_view>

#include "otlp/view.h"

// What Jaeger's data model, which is older than OTLP, shows of a span beside its own fields: the
// same in JSON and in protobuf.
namespace spanloom::api {

constexpr std::string_view kJaegerNoServiceName = "OTLPResourceNoServiceName";

inline otlp::AttributeView jaeger_tag(std::string_view key, std::string_view text) {
    otlp::AttributeView tag;
    tag.key = key;
    tag.value.type = otlp::ValueType::kString;
    tag.value.bytes = text;
    return tag;
}

// Attributes, then what OTLP has fields for: `take` gets an otlp::AttributeView.
template <typename Take>
void for_each_jaeger_tag(const otlp::SpanView& span, const otlp::ScopeView& scope, Take take) {
    constexpr std::array<std::string_view, 6> kKinds = {"",       "internal", "server",
                                                        "client", "producer", "consumer"};
    for (const otlp::AttributeView& attribute : span.attributes())
        take(attribute);
    const auto take_text = [&](std::string_view key, std::string_view text) {
        if (!text.empty()) take(jaeger_tag(key, text));
    };
    take_text("otel.scope.name", scope.name);
    take_text("otel.scope.version", scope.version);
    take_text("span.kind", kKinds[static_cast<size_t>(span.kind) % kKinds.size()]);
    if (span.status == otlp::StatusCode::kError) {
        otlp::AttributeView error;
        error.key = "error";
        error.value.type = otlp::ValueType::kBool;
        error.value.boolean = true;
        take(error);
        take_text("otel.status_code", "ERROR");
    } else if (span.status == otlp::StatusCode::kOk) {
        take_text("otel.status_code", "OK");
    }
    take_text("otel.status_description", span.status_message);
    take_text("w3c.tracestate", span.trace_state);
}

// The parent, then what the span links to: `take` gets whether it is a child of that one, the
// trace id and the span id.
template <typename Take>
void for_each_jaeger_reference(const otlp::SpanView& span, Take take) {
    if (!span.parent_span_id.is_zero()) take(true, span.trace_id, span.parent_span_id);
    for (const otlp::LinkView& link : span.links()) {
        bool is_child_of = false;
        for (const otlp::AttributeView& attribute : link.attributes()) {
            if (attribute.key != "opentracing.ref_type") continue;
            is_child_of = attribute.value.bytes == "child_of";
            break;
        }
        take(is_child_of, link.trace_id, link.span_id);
    }
}

// Empty where there is nothing to warn of.
inline std::string_view jaeger_warning(const otlp::SpanView& span) {
    return span.end_ns < span.start_ns ? "the span ends before it starts" : "";
}

// The low byte is W3C's; the others are OTLP's own.
inline uint32_t jaeger_flags(const otlp::SpanView& span) {
    return span.flags & 0xff;
}

}  // namespace spanloom::api
