#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "traceql/compare_columns.h"
#include "traceql/compare_table.h"
#include "traceql/span_scan.h"

namespace spanloom::traceql {

// compare({selection}, n): which attribute values the selected spans have, beside those of all
// others. This is which rows count, in which interval and by which weight; CompareColumns counts
// them. One thread.
class CompareSink final : public SpanSink {
  public:
    // `stage`, `grid`, `crowded` and `memory` outlive it. Each span that is added stands for
    // `scale`. Where nothing is known to be crowded yet, end() says what is.
    CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                CrowdedAttributes& crowded, MemoryShare& memory);

    Result<void> add(store::SearchSegment& segment, store::GroupReader& group,
                     const store::RowBitmap& rows, const store::RowBitmap* selected) override;
    // Rows are remembered; end() counts them.
    bool add(StoredRows& trace, Conditions& conditions, const std::vector<uint32_t>& rows,
             const std::vector<uint32_t>& selected) override;
    Result<void> end() override;
    // What another sink of the same stage has counted.
    void add(const CompareSink& other);

    SpanSink& sink() { return *this; }
    bool is_full() const { return table_.is_full(); }
    double weight_max() const { return weight_max_; }
    std::vector<Series> finish(const Sharing& share) const { return table_.finish(scale_, share); }

  private:
    struct Row {
        uint32_t row = 0;
        uint32_t interval = 0;
        bool is_selected = false;
        double weight = 1;
    };
    using Place = std::pair<store::SearchSegment*, uint32_t>;

    Result<std::vector<double>> weights_of(store::SegmentReader& reader, store::GroupReader& group,
                                           const store::RowBitmap& rows);
    Result<void> count_intervals(store::SegmentReader& reader, store::GroupReader& group,
                                 const store::RowBitmap& rows, const store::RowBitmap& selected,
                                 std::span<const uint32_t> intervals);

    const Grid& grid_;
    bool is_weighted_;
    double scale_;
    uint64_t start_ns_ = 0;  // where the selection is limited in time
    uint64_t end_ns_ = UINT64_MAX;
    double weight_max_ = 1;
    CrowdedAttributes& crowded_;
    CompareTable table_;
    std::map<Place, std::vector<Row>> rows_;  // of whole traces
    CompareColumns columns_;
};

}  // namespace spanloom::traceql
