#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "otlp/view.h"

namespace spanloom {

// Where a message lies in a Batch's bytes.
struct ByteRange {
    uint32_t offset = 0;
    uint32_t size = 0;
};

struct ResourceRef {
    ByteRange message;     // Resource; size 0 where absent
    ByteRange schema_url;  // ResourceSpans.schema_url
};

struct ScopeRef {
    uint32_t resource = 0;  // index into Batch::resources
    ByteRange message;      // InstrumentationScope; size 0 where absent
    ByteRange schema_url;   // ScopeSpans.schema_url
};

// One span that was accepted.
struct SpanRef {
    ByteRange message;   // Span
    uint32_t scope = 0;  // index into Batch::scopes
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    TraceId trace_id;
    SpanId span_id;
};

// One received request: its bytes as an OTLP ExportTraceServiceRequest (TracesData has the same
// form) and the table of its good spans. The only thing stages exchange. Immutable once made;
// copies share the bytes.
struct Batch {
    Blob bytes;
    std::string tenant = "default";
    uint64_t arrival_ns = 0;  // wall clock; decides the partition
    std::vector<ResourceRef> resources;
    std::vector<ScopeRef> scopes;
    std::vector<SpanRef> spans;
    uint64_t spans_rejected = 0;
    std::string rejection;                // what was wrong with the rejected ones, for the sender
    std::shared_ptr<Reservation> memory;  // what the bytes count for, until the Batch is gone

    std::string_view at(ByteRange range) const {
        return bytes.view().substr(range.offset, range.size);
    }
    otlp::SpanView span(const SpanRef& ref) const { return otlp::SpanView::parse(at(ref.message)); }
    otlp::ResourceView resource(const ResourceRef& ref) const {
        return otlp::ResourceView::parse(at(ref.message));
    }
    otlp::ScopeView scope(const ScopeRef& ref) const {
        return otlp::ScopeView::parse(at(ref.message));
    }
};

// Where accepted requests go. `done` is called exactly once, from any thread, when the spans are
// durable (or will never be): only then may the sender be told so. kResourceExhausted and
// kUnavailable mean "later".
class Sink {
  public:
    virtual ~Sink() = default;
    virtual void accept(Batch batch, std::function<void(Result<void>)> done) = 0;
};

namespace otlp {

// What one request may hold. Sizes of the whole request are limited before this (http/).
struct DecodeLimits {
    uint32_t depth_max = 64;  // nesting of AnyValue (specification: AttributeValueDepthLimit)
    uint32_t entities_max =
        1'000'000;  // resources plus scopes in a request: their tables are memory
};

// Checks an ExportTraceServiceRequest from end to end in one pass and makes its table. Spans with
// ids of a wrong length or all zero, or nested too deeply, are left out and counted; a message that
// cannot be walked is kInvalidArgument. tenant, arrival_ns and memory are the caller's to set.
// The same bytes always give the same table: the log replays through this.
Result<Batch> decode(Blob bytes, const DecodeLimits& limits = {});

// OTLP/JSON (proto3 JSON with hexadecimal ids) to the protobuf form. Errors name where.
Result<Blob> json_to_protobuf(std::string_view json, const DecodeLimits& limits = {});

}  // namespace otlp
}  // namespace spanloom
