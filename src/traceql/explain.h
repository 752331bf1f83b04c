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
    kTraces,   // columns for candidates, then whole traces
};
// Adds what was planned and which segments were read.
void explain(const Plan& plan, ExplainedPath path,
             std::span<const std::unique_ptr<store::SearchSegment>> segments,
             store::TimeRange range, Explanation& out);

// Why a query that finds nothing may be wrong: attributes that are there with values of another
// type, or that are not there although a similar one is.
std::vector<std::string> explain_emptiness(const Query& query, store::Segments segments);

}  // namespace spanloom::traceql
