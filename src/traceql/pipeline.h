#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "traceql/conditions.h"

namespace spanloom::traceql {

// A set of spans of one trace while a pipeline works on it, and what its stages found out.
struct SpansetState {
    std::vector<uint32_t> rows;  // ascending
    std::vector<std::pair<std::string, store::Value>> attributes;
};

// The stages of a query that choose spans, evaluated on one whole trace after another. The query
// outlives it. One thread.
class Pipeline {
  public:
    explicit Pipeline(const std::vector<Stage>& stages);

    // The spansets that the trace is left with, none of them empty; by their earliest spans.
    std::vector<SpansetState> run(TraceRows& rows);
    // The spans of all of them, each once, ascending.
    const std::vector<uint32_t>& rows_left(TraceRows& rows);

    Conditions& conditions() { return conditions_; }

  private:
    using Mask = std::vector<uint8_t>;  // 1: the row is in the set

    std::vector<SpansetState> run(const std::vector<Stage>& stages, const Mask& universe);
    Mask evaluate(const Spanset& spanset, const Mask& universe);
    Mask filter(const Expression& condition, const Mask& universe);
    Mask related(const Spanset& spanset, const Mask& universe);
    Mask relation(Relation relation, uint32_t hops_max, const Mask& from, const Mask& to);
    Mask descendants(const Mask& from, const Mask& to, uint32_t hops_max);
    Mask ancestors(const Mask& from, const Mask& to, uint32_t hops_max);
    Mask siblings(const Mask& from, const Mask& to);
    Mask flatten(const std::vector<SpansetState>& sets) const;
    std::vector<SpansetState> grouped(SpansetState set, const Expression& by);
    void sort_by_time(std::vector<SpansetState>& sets) const;
    bool passes(const Expression& condition, SpansetState& set);
    store::Value aggregate(const Expression& expression, SpansetState& set);
    store::Value aggregate_of_rows(const Expression& call, const std::vector<uint32_t>& rows);
    const std::vector<uint32_t>& rows_by_depth();

    const std::vector<Stage>& stages_;
    Conditions conditions_;
    TraceRows* rows_ = nullptr;
    std::vector<uint32_t> by_depth_;  // parents before children
    std::vector<uint32_t> left_;
    Mask chosen_;  // what the pipelines of an aggregate comparison leave
};

}  // namespace spanloom::traceql
