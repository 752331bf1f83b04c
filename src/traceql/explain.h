#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/trace_stream.h"
#include "traceql/answer.h"
#include "traceql/ast.h"
#include "traceql/planner.h"

namespace spanloom::traceql {

enum class ExplainedPath : uint8_t {
    kNewest,   // columns until enough traces are found
    kColumns,  // columns of every row group
    kForest,   // columns and parents of row groups
    kTraces,   // columns for candidates, then whole traces
};
// What was read of one segment.
struct SegmentRead {
    const store::Segment* segment = nullptr;
    uint64_t bytes = 0;  // decoded
    bool is_open = false;
    bool is_never = false;  // it was found out that no span satisfies the predicate

    void add(store::SearchSegment& opened);
};
std::vector<SegmentRead> reads_of(std::span<const std::unique_ptr<store::SearchSegment>> segments);
// Adds what was planned and which segments were read.
void explain(const Plan& plan, ExplainedPath path, std::span<const SegmentRead> segments,
             store::TimeRange range, Explanation& out);

// Why a query that finds nothing may be wrong: attributes that are there with values of another
// type, or that are not there although a similar one is.
std::vector<std::string> explain_emptiness(const Query& query, store::Segments segments);

}  // namespace spanloom::traceql
