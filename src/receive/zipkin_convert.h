#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "otlp/ids.h"

// Zipkin v2 spans (zipkin2-api.yaml, zipkin.proto) to OTLP. What OTLP has no field for becomes an
// attribute: zipkin.shared, zipkin.debug, zipkin.timestamp_missing.
namespace spanloom {

enum class ZipkinKind : uint8_t { kNone, kClient, kServer, kProducer, kConsumer };

struct ZipkinEndpoint {
    std::string_view service_name;
    std::string ipv4;  // as text; the text of IPv6 is in ipv6
    std::string ipv6;
    uint32_t port = 0;
};

// One span as read. Texts point into the request.
struct ZipkinSpan {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_span_id;  // zero: a root
    std::string_view name;
    ZipkinKind kind = ZipkinKind::kNone;
    uint64_t timestamp_us = 0;  // 0: unknown
    uint64_t duration_us = 0;
    bool is_debug = false;
    bool is_shared = false;
    ZipkinEndpoint local;
    ZipkinEndpoint remote;
    std::vector<std::pair<uint64_t, std::string_view>> annotations;  // microseconds, value
    std::vector<std::pair<std::string_view, std::string_view>> tags;
};

// Writes an ExportTraceServiceRequest, spans of one service in a row below one resource.
class ZipkinToOtlp {
  public:
    explicit ZipkinToOtlp(uint64_t arrival_ns) : arrival_ns_(arrival_ns) {}
    void add(const ZipkinSpan& span);
    Blob finish();

  private:
    void open_service(std::string_view name);
    void close_service();

    const uint64_t arrival_ns_;
    std::string bytes_;
    std::string service_;
    bool is_open_ = false;
    size_t resource_spans_ = 0;
    size_t scope_spans_ = 0;
};

// A list of spans in each of Zipkin's forms. One malformed span makes the whole list malformed, as
// in Zipkin: there is no way to tell the sender about one alone.
Result<Blob> zipkin_json_to_otlp(std::string_view json, uint64_t arrival_ns);
Result<Blob> zipkin_protobuf_to_otlp(const Blob& list, uint64_t arrival_ns);

}  // namespace spanloom
