#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "store/field.h"
#include "traceql/ast.h"
#include "traceql/trace.h"

namespace spanloom::traceql {

// Answers a checked query on whole traces, span by span: for what the store's columns cannot tell,
// and as the meaning that pushed-down predicates must have. One thread; the query must outlive it.
class Evaluator {
  public:
    explicit Evaluator(const Query& query);
    ~Evaluator();
    Evaluator(const Evaluator&) = delete;
    Evaluator& operator=(const Evaluator&) = delete;

    // Rows of the trace that are in the answer, ascending.
    std::vector<uint32_t> matches(const Trace& trace);
    // The field of one span; of several events or links the first that has it. nil where absent.
    store::Value field(const Trace& trace, size_t row, const store::Field& field);

  private:
    class State;
    std::unique_ptr<State> state_;
};

// A value as expressions see it: arrays, kvlists and bytes stay messages.
store::Value value_of(const otlp::ValueView& view);

}  // namespace spanloom::traceql
