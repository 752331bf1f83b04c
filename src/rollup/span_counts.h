#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "base/result.h"
#include "rollup/duration_histogram.h"
#include "rollup/rollup_section.h"

namespace spanloom {

// What is counted of spans that age or go (docs/format/counts.md): operations, and the edges
// between services in the same form, which insight/edge_counts.h gives a meaning.
struct SpanCounts {
    RollupSection operations;
    RollupSection edges;

    size_t memory_bytes() const { return operations.memory_bytes() + edges.memory_bytes(); }
};

// Both have one step. Empty where nothing is counted.
std::string encode_span_counts(const SpanCounts& counts);
Result<SpanCounts> decode_span_counts(std::string_view bytes);

// Adds sections up. One thread.
class RollupSum {
  public:
    // Cells of the sum, in minutes; not shorter than those that are added.
    explicit RollupSum(uint32_t step_minutes) : step_minutes_(step_minutes) {}

    void add(const RollupSection& section);
    void add(std::string_view service, std::string_view name, otlp::SpanKind kind, uint32_t minute,
             uint64_t errors, double weighted, const DurationHistogram& durations);
    // Of operations the most frequent kSectionOperationsMax are told apart.
    RollupSection finish();

  private:
    struct Cell {
        uint64_t errors = 0;
        double weighted = 0;
        DurationHistogram durations;

        void add(uint64_t more_errors, double more_weighted, const DurationHistogram& more);
    };
    struct Operation {
        std::map<uint32_t, Cell> cells;  // by minute
        uint64_t spans = 0;
    };
    using Key = std::tuple<std::string, std::string, otlp::SpanKind>;

    Cell& cell(Operation& operation, uint32_t minute) const {
        return operation.cells[minute - minute % step_minutes_];
    }
    void join_rarest();

    const uint32_t step_minutes_;
    std::map<Key, Operation> operations_;
};

}  // namespace spanloom
