#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "otlp/ids.h"

// Jaeger's spans (jaeger.thrift, model.proto) to OTLP, by the rules of the OpenTelemetry
// Collector's and Jaeger's own translator: tags that stand for a field of OTLP become that field
// (span.kind, error, otel.status_code, otel.scope.name, w3c.tracestate, ...), references other than
// the parent become links, `event` of a log becomes its name.
namespace spanloom {

struct JaegerTag {
    enum class Type : uint8_t { kString, kBool, kInt, kDouble, kBinary };

    std::string_view key;
    Type type = Type::kString;
    std::string_view text;  // kString, kBinary
    int64_t integer = 0;    // kInt; kBool: 0 or 1
    double number = 0;
};

struct JaegerLog {
    uint64_t time_ns = 0;
    std::vector<JaegerTag> fields;
};

struct JaegerReference {
    TraceId trace_id;
    SpanId span_id;
    bool is_child_of = true;  // else FOLLOWS_FROM
};

struct JaegerProcess {
    std::string_view service_name;
    std::vector<JaegerTag> tags;
};

// One span as read. Texts point into the request.
struct JaegerSpan {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_span_id;  // thrift says it beside the references
    std::string_view name;
    std::vector<JaegerReference> references;
    uint32_t flags = 0;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    std::vector<JaegerTag> tags;
    std::vector<JaegerLog> logs;
};

// Writes an ExportTraceServiceRequest: for each process its spans.
class JaegerToOtlp {
  public:
    void begin_process(const JaegerProcess& process);
    void add(JaegerSpan span);
    Blob finish();

  private:
    void open_scope(std::string_view name, std::string_view version);
    void close_scope();
    void close_process();

    std::string bytes_;
    bool has_process_ = false;
    bool has_scope_ = false;
    size_t resource_spans_ = 0;
    size_t scope_spans_ = 0;
    std::string scope_name_;
    std::string scope_version_;
};

// A Batch struct in the binary protocol, as HTTP bodies are.
Result<Blob> jaeger_thrift_to_otlp(const Blob& batch);
// Agent.emitBatch calls in either protocol, as datagrams are.
Result<Blob> jaeger_compact_call_to_otlp(const Blob& datagram);
Result<Blob> jaeger_binary_call_to_otlp(const Blob& datagram);
// jaeger.api_v2.PostSpansRequest.
Result<Blob> jaeger_protobuf_to_otlp(const Blob& request);

}  // namespace spanloom
