#include "main/demo_trace.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "otlp/writer.h"

namespace spanloom::demo {
namespace {

struct ServiceFacts {
    std::string_view name;
    std::string_view language;
    std::string_view sdk_version;
    std::string_view version;
    std::string_view scope;
};
constexpr std::array<ServiceFacts, kServices> kFacts = {{
    {"frontend", "nodejs", "2.2.0", "5.12.0", "@opentelemetry/instrumentation-http"},
    {"cart", "dotnet", "1.14.0", "3.4.2", "OpenTelemetry.Instrumentation.AspNetCore"},
    {"checkout", "go", "1.39.0", "2.9.1",
     "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"},
    {"payment", "java", "1.57.0", "2.4.0", "io.opentelemetry.grpc-1.6"},
    {"catalog", "go", "1.39.0", "1.21.0", "go.opentelemetry.io/contrib/instrumentation/net/http"},
    {"shipping", "rust", "0.31.0", "0.8.3", "opentelemetry-instrumentation-actix-web"},
    {"recommendation", "python", "1.39.0", "4.0.5", "opentelemetry.instrumentation.grpc"},
    {"orders", "java", "1.57.0", "1.3.7", "io.opentelemetry.kafka-clients-2.6"},
}};
// One pod runs the next version of payment, which fails more often than the others.
constexpr std::string_view kPaymentCanaryVersion = "2.5.0-rc1";

const ServiceFacts& facts_of(Service service) {
    return kFacts[static_cast<size_t>(service)];
}

void write_attribute(otlp::WireWriter& out, uint32_t field, std::string_view key,
                     const Value& value) {
    const size_t attribute = out.begin(field);
    out.bytes_field(1, key);
    const size_t mark = out.begin(2);
    if (const auto* text = std::get_if<std::string>(&value)) {
        out.bytes_field(1, *text);
    } else if (const auto* number = std::get_if<int64_t>(&value)) {
        out.varint_field(3, static_cast<uint64_t>(*number));
    } else if (const auto* real = std::get_if<double>(&value)) {
        out.double_field(4, *real);
    } else {
        out.varint_field(2, std::get<bool>(value) ? 1 : 0);
    }
    out.end(mark);
    out.end(attribute);
}

void write_attributes(otlp::WireWriter& out, uint32_t field, const Attributes& attributes) {
    for (const auto& [key, value] : attributes)
        write_attribute(out, field, key, value);
}

void write_span(otlp::WireWriter& out, const TraceId& trace_id, const Span& span,
                uint64_t began_ns) {
    const size_t mark = out.begin(2);
    out.bytes_field(1, trace_id.view());
    out.bytes_field(2, span.id.view());
    if (!span.parent_id.is_zero()) out.bytes_field(4, span.parent_id.view());
    out.bytes_field(5, span.name);
    out.varint_field(6, static_cast<uint64_t>(span.kind));
    out.fixed64_field(7, began_ns + span.start_ns);
    out.fixed64_field(8, began_ns + span.end_ns);
    write_attributes(out, 9, span.attributes);
    for (const Event& event : span.events) {
        const size_t inner = out.begin(11);
        out.fixed64_field(1, began_ns + event.at_ns);
        out.bytes_field(2, event.name);
        write_attributes(out, 3, event.attributes);
        out.end(inner);
    }
    for (const Link& link : span.links) {
        const size_t inner = out.begin(13);
        out.bytes_field(1, link.trace_id.view());
        out.bytes_field(2, link.span_id.view());
        write_attributes(out, 4, link.attributes);
        out.fixed32_field(6, 0x303);
        out.end(inner);
    }
    const size_t status = out.begin(15);
    if (!span.status_message.empty()) out.bytes_field(2, span.status_message);
    if (span.status != otlp::StatusCode::kUnset)
        out.varint_field(3, static_cast<uint64_t>(span.status));
    out.end(status);
    // Sampled, with a random trace id; whether the parent was remote is known.
    out.fixed32_field(16, span.is_parent_remote ? 0x303 : 0x103);
    out.end(mark);
}

Attributes resource_of(size_t service, size_t pod) {
    const ServiceFacts& facts = kFacts[service];
    const bool is_canary =
        service == static_cast<size_t>(Service::kPayment) && pod + 1 == kPodsPerService;
    const std::string pod_name =
        fmt::format("{}-{:x}-{}", facts.name, 0x7d9f4b6c5 + service * 0x1f3a7, "k2xq9"[pod]);
    return {
        {"service.name", std::string(facts.name)},
        {"service.namespace", std::string("shop")},
        {"service.version", std::string(is_canary ? kPaymentCanaryVersion : facts.version)},
        {"service.instance.id", pod_name},
        {"deployment.environment.name", std::string("demo")},
        {"k8s.namespace.name", std::string("shop")},
        {"k8s.deployment.name", std::string(facts.name)},
        {"k8s.pod.name", pod_name},
        {"k8s.node.name", fmt::format("node-{}", 1 + (service + pod) % 4)},
        {"cloud.region", std::string("eu-central-1")},
        {"host.name", fmt::format("ip-10-0-{}-{}", pod, 10 + service)},
        {"process.pid", int64_t{1}},
        {"telemetry.sdk.name", std::string("opentelemetry")},
        {"telemetry.sdk.language", std::string(facts.language)},
        {"telemetry.sdk.version", std::string(facts.sdk_version)},
    };
}

}  // namespace

std::string_view name_of(Service service) {
    return facts_of(service).name;
}

Trace::Trace(Random& random) : random_(random) {
    const uint64_t high = random.next() | 1;  // never all zero
    const uint64_t low = random.next();
    std::memcpy(id_.bytes.data(), &high, 8);
    std::memcpy(id_.bytes.data() + 8, &low, 8);
    for (size_t& pod : pods_)
        pod = random.below(kPodsPerService);
}

size_t Trace::add(size_t parent, Service service, otlp::SpanKind kind, std::string name,
                  uint64_t start_ns) {
    Span span;
    const uint64_t id = random_.next() | 1;
    std::memcpy(span.id.bytes.data(), &id, 8);
    if (parent != kNone) {
        span.parent_id = spans_[parent].id;
        span.is_parent_remote = spans_[parent].service != service;
    }
    span.service = service;
    span.kind = kind;
    span.name = std::move(name);
    span.start_ns = start_ns;
    span.end_ns = start_ns;
    spans_.push_back(std::move(span));
    return spans_.size() - 1;
}

uint64_t Trace::length_ns() const {
    uint64_t end_ns = 0;
    for (const Span& span : spans_)
        end_ns = std::max(end_ns, span.end_ns);
    return end_ns;
}

uint64_t Trace::about_ms(double milliseconds) {
    double factor = 0.6 + 0.8 * random_.unit();
    if (random_.below(50) == 0) factor *= 2 + 4 * random_.unit();
    return static_cast<uint64_t>(milliseconds * factor * static_cast<double>(kMs));
}

size_t RequestBuilder::add(const Trace& trace, uint64_t end_ns) {
    const uint64_t began_ns = end_ns - trace.length_ns();
    size_t written = 0;
    for (const Span& span : trace.spans()) {
        if (span.is_lost) continue;
        const size_t service = static_cast<size_t>(span.service);
        otlp::WireWriter out(spans_[service * kPodsPerService + trace.pod(span.service)]);
        write_span(out, trace.id(), span, began_ns);
        ++written;
    }
    return written;
}

std::string RequestBuilder::finish() {
    std::string request;
    otlp::WireWriter out(request);
    for (size_t i = 0; i < spans_.size(); ++i) {
        if (spans_[i].empty()) continue;
        const size_t service = i / kPodsPerService;
        const size_t resource_spans = out.begin(1);
        const size_t resource = out.begin(1);
        write_attributes(out, 1, resource_of(service, i % kPodsPerService));
        out.end(resource);
        const size_t scope_spans = out.begin(2);
        const size_t scope = out.begin(1);
        out.bytes_field(1, kFacts[service].scope);
        out.bytes_field(2, kFacts[service].sdk_version);
        out.end(scope);
        request += spans_[i];
        out.end(scope_spans);
        out.bytes_field(3, "https://opentelemetry.io/schemas/1.40.0");
        out.end(resource_spans);
        spans_[i].clear();
    }
    return request;
}

}  // namespace spanloom::demo
