#pragma once

#include <memory>
#include <vector>

#include "traceql/stored_fields.h"

namespace spanloom::traceql {

// The traces that begin in some row groups of one segment, seen as one forest: parents are row
// numbers already, so what single spans and their relations decide is evaluated for all of them at
// once. One thread; what it is given outlives it.
class SegmentForest final : public TraceRows {
  public:
    // Whether the stages ask nothing of a trace as a whole.
    static bool can_evaluate(const std::vector<Stage>& stages, const Plan& plan);

    SegmentForest(store::SearchSegment& segment, const std::vector<StoredTest>& tests)
        : segment_(segment), fields_(segment, tests), tests_(tests) {}

    // From now on it is the traces whose first row lies in groups [first, end): where they are.
    Result<void> load(uint32_t first_group, uint32_t end_group);
    // Reads the parents of their spans. Before anything is evaluated.
    Result<void> link();
    // Traces whose parents must be told by ids, as two spans share one: their rows mean nothing.
    const std::vector<store::TraceFragment>& odd() const { return odd_; }

    // Rows that are adjacent in one row group.
    struct Run {
        std::shared_ptr<store::GroupReader> group;
        uint32_t from = 0;   // of the group
        uint32_t first = 0;  // of the forest
        uint32_t rows = 0;
    };
    const std::vector<Run>& runs() const { return runs_; }
    const std::string& reason() const { return reason_; }

    uint32_t size() const override { return rows_; }
    std::span<const int32_t> parents() override { return parents_; }
    uint64_t start_ns(uint32_t row) const override;
    uint64_t end_ns(uint32_t row) const override;
    SpanId span_id(uint32_t row) const override;
    uint32_t children(store::Table table, uint32_t row) override;
    double weight(uint32_t row) override;
    store::Value value(const store::Field& field, const Place& place) override;
    const std::vector<uint8_t>* candidates(const Expression& condition, bool& is_exact) override;

  private:
    Result<void> load_parents();
    Result<void> find_odd();
    Result<bool> has_equal_ids(uint32_t row, uint32_t end);
    Result<void> cut();
    const Run& run_of(uint32_t row) const;
    const store::ColumnBlock* block(const Run& run, store::Intrinsic intrinsic) const;
    TraceId trace_of(uint32_t row) const;
    void note(const Error& error) const;

    store::SearchSegment& segment_;
    StoredFields fields_;
    const std::vector<StoredTest>& tests_;
    uint32_t first_row_ = 0;  // of the segment
    uint32_t rows_ = 0;
    std::vector<Run> runs_;
    std::vector<store::TraceFragment> traces_;
    std::vector<store::TraceFragment> odd_;
    std::vector<int32_t> parents_;
    std::vector<uint64_t> ids_;                // of one trace, while it is looked at
    std::vector<std::vector<uint8_t>> masks_;  // as tests_; empty: not asked yet
    mutable std::string reason_;
};

}  // namespace spanloom::traceql
