#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "store/search.h"

// Reading spans by column: rows that satisfy a condition, the first few in some order, or counts
// and sums of them. For lists of traces see search.h.
//
// All of it reads a set of segments that does not change meanwhile, from any thread, and blocks.
// Row groups that statistics and filters exclude are not touched; a column is decoded only for
// groups in which rows are left. A span that was sent again and stored apart counts once more until
// a merge has met both.
namespace spanloom::store {

// What is to be read, and what it may cost.
struct ScanScope {
    TimeRange range;  // spans that start in it
    Predicate where;  // of single spans
    std::stop_token cancelled;
    uint64_t deadline_monotonic_ns = 0;  // 0: none; past it the answer is partial
    // For decoded rows, of all threads together; a row group for which it is too little is left
    // out, and the answer partial.
    uint64_t memory_bytes_max = 128U << 20;
    // Segments are shared out among the caller's thread and this many helpers of `executor`; a
    // helper that does not get to run is not waited for.
    Executor* executor = nullptr;
    uint32_t helpers = 1;
};

// ---- rows

// One field of the rows of a block.
struct ScanColumn {
    ValueKind kind = ValueKind::kNil;  // of every row, where `kinds` is empty
    std::vector<ValueKind> kinds;      // of each row; kNil: it has none
    // By kind: the integer (booleans, durations, kinds, statuses, too), the bits of the double, or
    // which of `texts`. Of no meaning where the row has none.
    std::vector<int64_t> cells;
    // Each text once, mostly. Blocks may share them: then texts.data() and size() are the same.
    std::span<const std::string_view> texts;
    std::shared_ptr<const void> owner;  // of the texts

    ValueKind kind_of(size_t row) const { return kinds.empty() ? kind : kinds[row]; }
    std::string_view text(size_t row) const { return texts[static_cast<size_t>(cells[row])]; }
    double number(size_t row) const;  // of kInt, kDouble, kDuration
    Value value(size_t row) const;
};

// The spans of one trace in a block: rows [first_row, first_row + rows).
struct ScanTrace {
    TraceId trace_id;
    uint32_t first_row = 0;
    uint32_t rows = 0;
};

// Rows of one row group that satisfy the condition, adjacent by trace and ordered by start in it.
struct ScanBlock {
    size_t rows = 0;
    std::vector<ScanColumn> columns;  // as ScanRequest::columns
    std::vector<uint64_t> marks;      // per row: bit i for ScanRequest::marks[i]
    // With ScanRequest::with_ids:
    std::vector<ScanTrace> traces;
    std::vector<SpanId> span_ids;
    std::vector<SpanId> parent_ids;  // zero: none
};

struct ScanRequest {
    ScanScope scope;
    std::vector<Field> columns;    // none of a whole trace
    std::vector<Predicate> marks;  // conditions of which each row tells, at most 64
    bool with_ids = false;
};

// Calls `visit` with block after block, one call at a time, until it returns false. Segments come
// newest arrival first; the rows of one segment newest trace first (with helpers: nearly so).
Result<ScanStats> scan(Segments segments, const ScanRequest& request,
                       const std::function<bool(const ScanBlock&)>& visit);

// ---- the first rows in some order

struct TopRequest {
    ScanScope scope;
    Field order;  // a number, a duration or a time; rows without one are left out
    bool ascending = false;
    uint32_t limit = 20;  // at most kTopRowsMax
    std::vector<Field> columns;
};
constexpr uint32_t kTopRowsMax = 100'000;

struct TopRow {
    TraceId trace_id;
    SpanId span_id;
    Value order;
    std::vector<Value> values;  // as TopRequest::columns
};
struct TopAnswer {
    std::vector<TopRow> rows;  // in order; what is equal, by trace id and span id
    ScanStats stats;
};
// Only what is shown is read beyond `where` and `order`.
Result<TopAnswer> top_spans(Segments segments, const TopRequest& request);

// ---- aggregates

// Of the values of one number field that a row has; rows without it do not count here.
struct Aggregate {
    enum class Kind : uint8_t { kCount, kSum, kMin, kMax, kHistogram };
    Kind kind = Kind::kCount;
    Field field;  // kCount: with Scope::kAny and an empty key, all rows
};

// Numbers in buckets a sixteenth of their lower bound wide at most: the sign, exponent and first
// four bits of the fraction of the double. Ascending, as their bounds.
struct HistogramBucket {
    int32_t bucket = 0;
    uint64_t count = 0;
};
int32_t histogram_bucket(double value);
double histogram_bucket_begin(int32_t bucket);  // nearest to zero
double histogram_bucket_end(int32_t bucket);    // farthest from zero, exclusive
// Of q in [0, 1], between the bounds of its bucket by rank. 0 where there is none.
double histogram_quantile(std::span<const HistogramBucket> buckets, double q);

struct AggregateRequest {
    ScanScope scope;
    std::vector<Field> group_by;
    std::vector<Aggregate> aggregates;
    // Steps begin at multiples of it since 1970 (the first holds the range's start); 0: one step.
    uint64_t step_ns = 0;
    uint64_t memory_bytes_max = 64U << 20;  // beyond it: kResourceExhausted
    uint32_t groups_max = 100'000;          // as well
};
constexpr uint32_t kAggregateStepsMax = 100'000;

struct AggregateCell {
    uint64_t rows = 0;    // that satisfied the condition
    double weighted = 0;  // the same, each with the adjusted count of its trace state
    // Per aggregate: how many rows had the field, and their sum, minimum or maximum.
    struct Number {
        uint64_t count = 0;
        double value = 0;
    };
    std::vector<Number> numbers;
    std::vector<std::vector<HistogramBucket>> histograms;  // per aggregate; empty but of kHistogram
};
struct AggregateGroup {
    std::vector<Value> key;            // as group_by; nil where rows have none
    std::vector<AggregateCell> cells;  // by step; rows == 0 where nothing fell into it
};
struct AggregateAnswer {
    uint64_t first_step_ns = 0;
    uint64_t step_ns = 0;
    uint32_t steps = 1;
    std::vector<AggregateGroup> groups;  // by key
    ScanStats stats;
};
Result<AggregateAnswer> aggregate(Segments segments, const AggregateRequest& request);

}  // namespace spanloom::store
