#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/field.h"
#include "store/segment.h"

namespace spanloom::store {

// Half open, in ns since 1970. A trace is in range where any of its spans overlaps.
struct TimeRange {
    uint64_t start_ns = 0;
    uint64_t end_ns = UINT64_MAX;
};

// A place in the order "newest first": traces strictly after it are still to come.
struct Cursor {
    uint64_t start_ns = 0;
    TraceId trace_id;
};

struct SearchRequest {
    TimeRange range;
    Predicate where;            // span level only; of spans at most an hour from the range
    std::vector<Field> wanted;  // returned with each matched span
    uint32_t limit = 20;        // traces
    uint32_t spans_per_trace = 3;
    std::optional<Cursor> after;
    std::stop_token cancelled;
    uint64_t deadline_monotonic_ns = 0;      // 0: none; past it the answer is partial
    uint64_t memory_bytes_max = 128U << 20;  // of rows that are held decoded
};

struct MatchedSpan {
    SpanId span_id;
    std::string name;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    std::vector<std::pair<Field, Value>> values;  // of `wanted`, those that it has
};

struct ServiceCount {
    std::string name;
    uint32_t spans = 0;
    uint32_t errors = 0;
};

struct TraceSummary {
    TraceId trace_id;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    bool root_received = false;
    std::string root_service;  // of the root; of the earliest span where there is none
    std::string root_name;
    uint32_t spans = 0;
    uint32_t errors = 0;
    uint32_t orphans = 0;
    std::vector<ServiceCount> services;  // by name
    uint32_t matched = 0;
    std::vector<MatchedSpan> matched_spans;  // earliest first
};

struct ScanStats {
    uint64_t scanned_spans = 0;
    uint64_t scanned_bytes = 0;
    uint32_t segments = 0;
    uint32_t segments_skipped = 0;
    bool partial = false;
    std::string reason;  // why partial
};

struct SearchAnswer {
    std::vector<TraceSummary> traces;  // newest first: by trace start, then trace id
    std::optional<Cursor> next;        // absent: there are no more
    ScanStats stats;
};

// One trace as OTLP: a TracesData message (the same bytes as ExportTraceServiceRequest), every
// span once, grouped by resource and scope, in order of start.
struct StoredTrace {
    Blob traces_data;
    // The table of its spans, as decode() would make it. nullptr: not known.
    std::shared_ptr<const Batch> batch;
    // By how much the spans of that order came late at least (lateness.h). Empty: none did.
    std::vector<uint64_t> late_ns;
    uint32_t spans = 0;
    bool partial = false;  // a damaged block left something out
    std::string reason;
};

struct KeyCount {
    Scope scope = Scope::kSpan;
    std::string key;
};

// How one service calls another, by what the span of either side says.
enum class CallProtocol : uint8_t { kUnknown, kHttp, kRpc, kMessaging, kDatabase };

// A span that another one links to, of any trace that is stored.
struct LinkedSpan {
    std::string service;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
};

// Called for spans as columns deliver them, for counting over many traces at once (dependencies).
struct SpanEdge {
    TraceId trace_id;
    SpanId span_id;
    SpanId parent_span_id;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    std::string_view service;  // valid during the call
    bool error = false;
    bool in_range = false;  // it starts in the range; others of its trace come for their ids
    uint64_t start_ns = 0;
    uint64_t duration_ns = 0;
    // Where asked for, what the span says of the other side: its name, or none. Of spans that call
    // and of those that may be called from outside (kClient, kProducer; kServer without a parent).
    std::string_view peer;  // valid during the call
    CallProtocol protocol = CallProtocol::kUnknown;
    double weight = 1;  // how many it stands for, where peers are asked for
    // What a consumer links to, at most kEdgeLinksMax that are stored; where peers are asked for.
    std::span<const LinkedSpan> links;  // valid during the call
};
constexpr size_t kEdgeLinksMax = 1024;
enum class EdgePeers : uint8_t { kUnread, kRead };

using Segments = std::span<const std::shared_ptr<const Segment>>;

// Reading over a set of segments that does not change meanwhile. Exact: duplicates are resolved,
// fragments of one trace in several segments are put together. Any thread; blocks while it reads.
Result<SearchAnswer> search(Segments segments, const SearchRequest& request);
// kNotFound where no segment has it.
Result<StoredTrace> read_trace(Segments segments, const TraceId& id);
// Attribute keys in use in the range, sorted by scope and key.
Result<std::vector<KeyCount>> attribute_keys(Segments segments, TimeRange range);
// Distinct values of a field among spans that satisfy `where`, sorted; at most `limit`.
Result<std::vector<Value>> field_values(Segments segments, const Field& field, TimeRange range,
                                        const Predicate& where, uint32_t limit);
// The spans of every trace of which `segments` have some in the range, trace after trace, each
// whole; `visit` returns false to stop. What `others` hold of these traces is never in range.
Result<void> for_each_edge(Segments segments, TimeRange range,
                           const std::function<bool(const SpanEdge&)>& visit,
                           EdgePeers peers = EdgePeers::kUnread, Segments others = {});

}  // namespace spanloom::store
