#pragma once

#include <cstdint>
#include <vector>

#include "traceql/ast.h"
#include "traceql/message_rows.h"
#include "traceql/pipeline.h"
#include "traceql/trace.h"

namespace spanloom::traceql {

// Evaluates a query that finds traces on whole traces read as messages: for those who hold a trace
// and ask whether the query chooses it. One thread; the query outlives it.
class Evaluator {
  public:
    explicit Evaluator(const Query& query) : pipeline_(query.stages) {}

    // Rows of the spans that the query leaves, ascending.
    std::vector<uint32_t> matches(const Trace& trace) {
        MessageRows rows(trace);
        return pipeline_.rows_left(rows);
    }
    std::vector<SpansetState> spansets(const Trace& trace) {
        MessageRows rows(trace);
        return pipeline_.run(rows);
    }

  private:
    Pipeline pipeline_;
};

}  // namespace spanloom::traceql
