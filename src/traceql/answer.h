#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "store/search.h"
#include "store/stored_counts.h"

namespace spanloom {
class RollupCache;
}

// What a query is asked with and what it answers: lists of traces, or time series.
namespace spanloom::traceql {

class SharedTraceCache;

struct QueryStats : store::ScanStats {
    uint64_t traces = 0;  // looked at as wholes
};

// How a query was answered, for people.
struct Explanation {
    struct SegmentUse {
        uint64_t spans = 0;
        uint64_t bytes = 0;  // of the file or image
        uint64_t start_ns_min = 0;
        uint64_t end_ns_max = 0;
        uint64_t bytes_read = 0;  // decoded
        std::string skipped;      // why nothing of it was read; empty: it was read
    };
    std::vector<std::string> plan;  // one step each
    std::vector<SegmentUse> segments;

    std::string text() const;
};

// ---- traces

// A place in the order of an answer: what comes strictly after it is still to come.
struct SearchCursor : store::Cursor {
    store::Value sort_value;  // with the hint sort; else nil

    SearchCursor() = default;
    SearchCursor(store::Cursor place) : store::Cursor(place) {}
    // One line of printable ASCII without blanks; parse(text()) is the same place.
    std::string text() const;
    static Result<SearchCursor> parse(std::string_view text);
};

// A set of spans of one trace that a query leaves.
struct SpansetFound {
    // What by() and aggregates found: "by(resource.service.name)", "count()".
    std::vector<std::pair<std::string, store::Value>> attributes;
    uint32_t matched = 0;
    std::vector<store::MatchedSpan> spans;  // earliest first, at most spans_per_trace
};

struct TraceFound {
    // `matched` and `matched_spans` are of all its spansets together.
    store::TraceSummary summary;
    std::vector<SpansetFound> spansets;
    store::Value sort_value;  // with the hint sort
};

struct SearchOptions {
    store::TimeRange range;
    uint32_t limit = 20;  // traces
    uint32_t spans_per_trace = 3;
    std::optional<SearchCursor> after;
    std::vector<store::Field> wanted;  // shown beside those that the query names
    std::stop_token cancelled;
    uint64_t deadline_monotonic_ns = 0;  // 0: none; past it the answer is partial
    size_t memory_bytes_max = 256U << 20;
    bool explain = false;
    // Called for each trace as soon as it is found, in the order of the answer.
    std::function<void(const TraceFound&)> on_trace;
};

struct SearchAnswer {
    std::vector<TraceFound> traces;    // newest first, or as the hint sort says
    std::optional<SearchCursor> next;  // absent: there are no more
    std::vector<std::string> notes;    // why nothing was found, where that can be told
    QueryStats stats;
    std::optional<Explanation> explanation;
};

// ---- series

struct Label {
    std::string name;  // "resource.service.name", "p", "__name__", "__bucket", "__meta_type"
    store::Value value;
    bool operator==(const Label&) const = default;
};

struct Exemplar {
    TraceId trace_id;
    SpanId span_id;
    uint64_t time_ns = 0;
    double value = 0;
    std::vector<Label> labels;  // of its series
};

struct Series {
    std::vector<Label> labels;
    std::vector<double> values;  // one for each interval; NaN: none there
    std::vector<Exemplar> exemplars;
};

struct MetricsOptions {
    store::TimeRange range;  // both ends, as asked
    uint64_t step_ns = 0;    // 0: the whole range is one interval (an instant query)
    uint32_t exemplars = 0;  // at most, of the whole answer; the hint exemplars goes before
    uint32_t series_max = 1'000;
    std::stop_token cancelled;
    uint64_t deadline_monotonic_ns = 0;
    size_t memory_bytes_max = 256U << 20;
    // Pieces of the store are shared out among the caller's thread and so many helpers.
    Executor* executor = nullptr;
    uint32_t helpers = 0;
    SharedTraceCache* shared_traces = nullptr;  // of earlier questions; may be left out
    // What is known of all spans, also of those that went when their hour aged: with it, what such
    // counts can answer is answered by them. The cache is there where the function is.
    std::function<store::CountedParts()> counted;
    RollupCache* rollups = nullptr;
    bool explain = false;
    // kTraces: every trace is put together even where columns alone could tell, which must not
    // change the answer. For tests.
    enum class Evaluation : uint8_t { kBest, kTraces };
    Evaluation evaluation = Evaluation::kBest;
};

// Interval i is (first_ns + (i - 1) * step_ns, first_ns + i * step_ns]; its time is its right edge.
// Durations are in seconds.
struct MetricsAnswer {
    uint64_t first_ns = 0;
    uint64_t step_ns = 0;
    size_t intervals = 0;
    std::vector<Series> series;
    bool weighted = true;     // each span counts as many as it stands for (tracestate ot=th)
    bool is_sampled = false;  // some span stood for more than one
    // No span that was received is missing: those of hours that aged were taken from counts, or
    // there are none. Else they are estimated from the ones that stayed.
    bool is_exact = true;
    uint64_t spans_from_counts = 0;
    std::vector<std::string> notes;
    QueryStats stats;
    std::optional<Explanation> explanation;
};

}  // namespace spanloom::traceql
