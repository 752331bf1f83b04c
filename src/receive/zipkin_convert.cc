#include "receive/zipkin_convert.h"

#include <array>
#include <limits>

#include "otlp/view.h"
#include "otlp/writer.h"
#include "receive/attribute_writer.h"

namespace spanloom {
namespace {

constexpr uint64_t kNsPerUs = 1'000;

// Microseconds too large for nanoseconds stop at the largest.
uint64_t to_ns(uint64_t us) {
    constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
    return us > kMax / kNsPerUs ? kMax : us * kNsPerUs;
}

uint64_t add_saturating(uint64_t a, uint64_t b) {
    const uint64_t sum = a + b;
    return sum < a ? std::numeric_limits<uint64_t>::max() : sum;
}

otlp::SpanKind kind_of(ZipkinKind kind) {
    switch (kind) {
        case ZipkinKind::kClient:
            return otlp::SpanKind::kClient;
        case ZipkinKind::kServer:
            return otlp::SpanKind::kServer;
        case ZipkinKind::kProducer:
            return otlp::SpanKind::kProducer;
        case ZipkinKind::kConsumer:
            return otlp::SpanKind::kConsumer;
        case ZipkinKind::kNone:
            break;
    }
    return otlp::SpanKind::kInternal;
}

const std::string& address_of(const ZipkinEndpoint& endpoint) {
    return endpoint.ipv4.empty() ? endpoint.ipv6 : endpoint.ipv4;
}

struct RemoteNames {
    std::string_view address;
    std::string_view port;
};

// The other side is the client only of a server; a producer's and a consumer's is the broker.
RemoteNames remote_names(ZipkinKind kind) {
    if (kind == ZipkinKind::kServer) return {"client.address", "client.port"};
    if (kind == ZipkinKind::kNone) return {"network.peer.address", "network.peer.port"};
    return {"server.address", "server.port"};
}

void write_attributes(otlp::WireWriter& out, const ZipkinSpan& span) {
    AttributeWriter attributes(out, 9);
    for (const auto& [key, value] : span.tags) {
        if (key != "error") attributes.text(key, value);
    }
    attributes.text_if_any("peer.service", span.remote.service_name);
    const RemoteNames remote = remote_names(span.kind);
    attributes.text_if_any(remote.address, address_of(span.remote));
    attributes.port(remote.port, span.remote.port);
    attributes.text_if_any("network.local.address", address_of(span.local));
    attributes.port("network.local.port", span.local.port);
    if (span.is_shared) attributes.flag("zipkin.shared");
    if (span.is_debug) attributes.flag("zipkin.debug");
    if (span.timestamp_us == 0) attributes.flag("zipkin.timestamp_missing");
}

// The tag `error` says by being there that the span failed; its text, if it has any, says how.
void write_status(otlp::WireWriter& out, const ZipkinSpan& span) {
    for (const auto& [key, value] : span.tags) {
        if (key != "error") continue;
        const size_t status = out.begin(15);
        if (!value.empty() && value != "true") out.bytes_field(2, value);
        out.varint_field(3, static_cast<uint64_t>(otlp::StatusCode::kError));
        out.end(status);
        return;
    }
}

}  // namespace

void ZipkinToOtlp::open_service(std::string_view name) {
    otlp::WireWriter out(bytes_);
    service_ = name;
    is_open_ = true;
    resource_spans_ = out.begin(1);
    const size_t resource = out.begin(1);
    AttributeWriter(out, 1).text_if_any("service.name", name);
    out.end(resource);
    scope_spans_ = out.begin(2);
}

void ZipkinToOtlp::close_service() {
    if (!is_open_) return;
    otlp::WireWriter out(bytes_);
    out.end(scope_spans_);
    out.end(resource_spans_);
    is_open_ = false;
}

void ZipkinToOtlp::add(const ZipkinSpan& span) {
    if (is_open_ && service_ != span.local.service_name) close_service();
    if (!is_open_) open_service(span.local.service_name);
    otlp::WireWriter out(bytes_);
    const uint64_t start_ns = span.timestamp_us == 0 ? arrival_ns_ : to_ns(span.timestamp_us);
    const size_t mark = out.begin(2);
    out.bytes_field(1, span.trace_id.view());
    out.bytes_field(2, span.span_id.view());
    if (!span.parent_span_id.is_zero()) out.bytes_field(4, span.parent_span_id.view());
    out.bytes_field(5, span.name);
    out.varint_field(6, static_cast<uint64_t>(kind_of(span.kind)));
    out.fixed64_field(7, start_ns);
    out.fixed64_field(8, add_saturating(start_ns, to_ns(span.duration_us)));
    write_attributes(out, span);
    for (const auto& [timestamp_us, value] : span.annotations) {
        const size_t event = out.begin(11);
        out.fixed64_field(1, to_ns(timestamp_us));
        out.bytes_field(2, value);
        out.end(event);
    }
    write_status(out, span);
    out.end(mark);
}

Blob ZipkinToOtlp::finish() {
    close_service();
    return Blob::copy_of(bytes_);
}

}  // namespace spanloom
