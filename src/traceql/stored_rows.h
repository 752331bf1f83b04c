#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/trace_stream.h"
#include "traceql/planner.h"
#include "traceql/rows.h"
#include "traceql/stored_fields.h"

namespace spanloom::traceql {

// One trace after another, put together from the columns of all segments that have spans of it:
// only ids and times are read, and the columns that the query asks for. Filters are tested a row
// group at a time. One thread; lives as long as the query, whose plan and segments outlive it.
class StoredRows final : public TraceRows {
  public:
    static Result<std::unique_ptr<StoredRows>> make(const Plan& plan);
    ~StoredRows() override;

    // From now on it is this trace. What cannot be read is left out and said in reason().
    void load(const store::FoundTrace& trace);
    const TraceId& trace_id() const { return trace_id_; }
    const std::string& reason() const { return reason_; }
    // Where a row is stored.
    store::SearchSegment& segment_of(uint32_t row) const;
    uint32_t group_of(uint32_t row) const { return runs_[spans_[row].run].group->group(); }
    uint32_t row_in_group(uint32_t row) const { return spans_[row].row; }

    uint32_t size() const override { return static_cast<uint32_t>(spans_.size()); }
    std::span<const int32_t> parents() override;
    uint64_t start_ns(uint32_t row) const override { return spans_[row].start_ns; }
    uint64_t end_ns(uint32_t row) const override { return spans_[row].end_ns; }
    SpanId span_id(uint32_t row) const override { return spans_[row].id; }
    uint32_t children(store::Table table, uint32_t row) override;
    double weight(uint32_t row) override;
    store::Value value(const store::Field& field, const Place& place) override;
    const std::vector<uint8_t>* candidates(const Expression& condition, bool& is_exact) override;

  private:
    // Rows of one row group that are adjacent.
    struct Run {
        StoredFields* fields = nullptr;
        std::shared_ptr<store::GroupReader> group;
    };
    struct Span {
        SpanId id;
        SpanId parent_id;
        uint64_t start_ns = 0;
        uint64_t end_ns = 0;
        uint32_t run = 0;
        uint32_t row = 0;  // of the group
    };
    // Span id to its first row; emptied by a new generation, not by writing.
    struct Slot {
        uint64_t id = 0;
        uint32_t generation = 0;
        int32_t row = 0;
    };

    StoredRows() = default;
    StoredFields& fields_of(store::SearchSegment& segment);
    Result<void> load_fragment(const store::FragmentPlace& place);
    Result<void> load_rows(const store::FragmentPlace& place, store::GroupReader& group,
                           uint32_t run, uint32_t from, uint32_t end);
    void index_ids();
    Slot& slot_of(SpanId id);
    void drop_equal_spans();
    std::string content(const Span& span);
    otlp::SpanKind kind_of(const Span& span);
    void note(const Error& error);

    std::vector<StoredTest> tests_;
    std::unordered_map<store::SearchSegment*, std::unique_ptr<StoredFields>> fields_;
    TraceId trace_id_;
    std::vector<Run> runs_;
    std::vector<Span> spans_;
    std::vector<Slot> slots_;
    uint32_t generation_ = 0;
    bool has_equal_ids_ = false;
    bool has_parents_ = false;
    std::vector<int32_t> parents_;
    std::vector<std::vector<uint8_t>> masks_;  // as tests_
    std::vector<uint8_t> has_mask_;
    std::string reason_;
};

}  // namespace spanloom::traceql
