#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "rollup/duration_histogram.h"
#include "rollup/packed_rollup.h"

namespace spanloom {

// Cells of a sum; beyond it the rarest operations count as kOtherOperation.
constexpr size_t kSectionCellsMax = 1'000'000;

// What is counted of spans that age or go (docs/format/counts.md): operations, and the edges
// between services in the same form, which insight/edge_counts.h gives a meaning.
struct SpanCounts {
    PackedRollup operations;
    PackedRollup edges;

    size_t memory_bytes() const { return operations.memory_bytes() + edges.memory_bytes(); }
};

// Both have steps of one length. Empty where nothing is counted.
std::string encode_span_counts(const RollupSection& operations, const RollupSection& edges);
// Of sections that are bytes already.
std::string join_span_counts(uint32_t step_s, std::string_view operations, std::string_view edges);
// One section, as such counts of its steps have it.
std::string encode_counted(const RollupSection& section);
Result<SpanCounts> decode_span_counts(std::string_view bytes);

// Adds sections up. One thread.
class RollupSum {
  public:
    // Steps of the sum; not shorter than those that are added.
    explicit RollupSum(uint32_t step_s, DurationDetail detail = {},
                       size_t cells_max = kSectionCellsMax)
        : step_s_(step_s), detail_(detail), cells_max_(cells_max) {}

    void add(const PackedRollup& section);
    // Of one side of edges, whose failed calls are not told apart.
    void add(std::string_view service, std::string_view name, otlp::SpanKind kind,
             uint64_t begin_ns, uint64_t errors, double weighted,
             const DurationHistogram& durations);
    // Of operations the most frequent kSectionOperationsMax are told apart, and fewer where there
    // would be more cells than `cells_max`.
    RollupSection finish();

  private:
    using Buckets = std::vector<std::pair<uint16_t, uint64_t>>;  // ascending
    struct Cell {
        uint64_t spans = 0;
        uint64_t errors = 0;
        double weighted = 0;
        uint64_t bytes = 0;
        Buckets buckets;

        void add(const Cell& more);
    };
    struct Operation {
        std::map<uint32_t, Cell> cells;  // by step
        uint64_t spans = 0;

        void add(const Operation& more);
    };
    using Key = std::tuple<std::string, std::string, otlp::SpanKind, bool>;  // is it errors

    Cell& cell(Operation& operation, uint64_t begin_ns) const {
        return operation.cells[static_cast<uint32_t>(begin_ns / (step_s_ * kRollupSecondNs))];
    }
    uint16_t merged(uint32_t bucket) const;
    void join_rarest();

    const uint32_t step_s_;
    const DurationDetail detail_;
    const size_t cells_max_;
    std::map<Key, Operation> operations_;
};

}  // namespace spanloom
