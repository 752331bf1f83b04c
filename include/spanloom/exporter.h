#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/timestamp.h"

namespace spanloom {

// Spans of one tracer in a batch: views, for the length of the call.
struct SpanGroup {
    std::string_view scope;  // a serialised opentelemetry.proto.common.v1.InstrumentationScope
    std::string_view schema_url;
    const std::string_view* spans;  // each a serialised opentelemetry.proto.trace.v1.Span
    size_t span_count;
};

// What is handed to an exporter: finished spans of one resource, as OTLP bytes that are never
// encoded a second time.
struct SpanBatch {
    std::string_view resource;  // a serialised opentelemetry.proto.resource.v1.Resource
    std::string_view resource_schema_url;
    const SpanGroup* groups;
    size_t group_count;
    size_t span_count;  // over all groups
    size_t span_bytes;  // over all groups

    const SpanGroup* begin() const noexcept { return groups; }
    const SpanGroup* end() const noexcept { return groups + group_count; }
    // Appends it as an ExportTraceServiceRequest (one ResourceSpans).
    void append_request(std::string& out) const;
};

struct ExportResult {
    enum class Status : uint8_t { kSuccess, kFailure, kTimeout };

    Status status = Status::kSuccess;
    uint64_t rejected_spans =
        0;  // of a success: what the receiver would not take (partial success)

    static ExportResult success(uint64_t rejected_spans = 0) noexcept {
        return {Status::kSuccess, rejected_spans};
    }
    static ExportResult failure() noexcept { return {Status::kFailure, 0}; }
    static ExportResult timeout() noexcept { return {Status::kTimeout, 0}; }
};

// Sends spans somewhere. `export_spans` is never called twice at the same time and runs under a
// context in which nothing is traced; retries are its own affair, within the deadline. A processor
// does not wait beyond its deadlines even for an exporter that never returns: it then goes on
// without it, and keeps the object alive until the call is over.
class SpanExporter {
  public:
    virtual ~SpanExporter() = default;
    virtual ExportResult export_spans(const SpanBatch& batch, Deadline deadline) noexcept = 0;
    // From any thread. True where everything handed over before was sent by the deadline.
    virtual bool force_flush(Deadline) noexcept { return true; }
    // From any thread, also during an export: ends it soon. Later exports fail.
    virtual bool shutdown(Deadline) noexcept { return true; }
    // In the child of a fork: connections belong to the parent. No other thread runs.
    virtual void after_fork_in_child() noexcept {}
};

// Writes one line of JSON a span, for eyes.
std::shared_ptr<SpanExporter> make_console_exporter();
// Takes everything and keeps nothing: for measurements.
std::shared_ptr<SpanExporter> make_null_exporter();

}  // namespace spanloom
