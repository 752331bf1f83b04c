#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "traceql/compare_classes.h"
#include "traceql/compare_table.h"
#include "traceql/span_scan.h"

namespace spanloom::traceql {

// compare({selection}, n): which attribute values the selected spans have, beside those of all
// others. Whole columns are counted, row group by row group; where spans of one name have one value
// they are counted by their name, and the column is not read. One thread.
class CompareSink final : public SpanSink {
  public:
    // `stage`, `grid` and `memory` outlive it.
    // Each span that is added stands for `scale`.
    CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                MemoryShare& memory);

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
    using Attribute = CompareTable::Attribute;

    struct Row {
        uint32_t row = 0;
        uint32_t interval = 0;
        bool is_selected = false;
        double weight = 1;
    };
    // What was found out about one column of the segment.
    struct ColumnState {
        Attribute* attribute = nullptr;
        std::shared_ptr<const void> owner;
        std::span<const std::string_view> strings;
        std::vector<uint32_t> by_code;  // which value; kUnknown: not looked up yet
    };
    using Place = std::pair<store::SearchSegment*, uint32_t>;
    struct Counting;

    Result<std::vector<double>> weights_of(store::SegmentReader& reader, store::GroupReader& group,
                                           const store::RowBitmap& rows);
    void use(store::SegmentReader& reader);
    Result<void> count_intervals(store::SegmentReader& reader, store::GroupReader& group,
                                 const store::RowBitmap& rows, const store::RowBitmap& selected,
                                 std::span<const uint32_t> intervals);
    Result<void> count_group(store::SegmentReader& reader, store::GroupReader& group,
                             const Counting& counting);
    Result<void> count_whole_column(store::GroupReader& group, uint32_t column,
                                    const Counting& counting);
    Result<void> count_values(store::GroupReader& group, uint32_t column, const Counting& counting);
    Result<void> count_selected(store::GroupReader& group, uint32_t column,
                                const Counting& counting);
    void count_totals(Attribute& attribute, const store::ColumnBlock& block,
                      const Counting& counting);
    void count_codes(ColumnState& state, const store::ColumnKey& key,
                     const store::ColumnBlock& block, const Counting& counting);
    void count_integers(Attribute& attribute, const store::ColumnKey& key,
                        const store::ColumnBlock& block, const Counting& counting);
    void count_numbers(Attribute& attribute, const store::ColumnKey& key,
                       const store::ColumnBlock& block, const Counting& counting);
    Result<void> count_enumeration(store::SegmentReader& reader, store::GroupReader& group,
                                   store::Intrinsic intrinsic, const Counting& counting);
    Result<void> count_resources(store::SegmentReader& reader, store::GroupReader& group,
                                 const Counting& counting);
    const std::vector<std::pair<Attribute*, uint32_t>>& resource(const store::Segment& segment,
                                                                 uint32_t index);
    template <typename SumOf>
    void add_up(const store::ColumnBlock& block, const Counting& counting, size_t size,
                SumOf&& sum_of);

    const Grid& grid_;
    bool is_weighted_;
    double scale_;
    uint64_t start_ns_ = 0;  // where the selection is limited in time
    uint64_t end_ns_ = UINT64_MAX;
    double weight_max_ = 1;
    CompareTable table_;
    std::map<Place, std::vector<Row>> rows_;  // of whole traces
    // Of the segment being counted.
    const store::SegmentReader* reader_ = nullptr;
    std::vector<ColumnState> columns_;
    CompareClasses classes_;
    std::vector<std::vector<std::pair<Attribute*, uint32_t>>> resources_;  // attributes of each
    std::vector<uint8_t> is_resource_read_;
    std::vector<CompareClasses::Column> others_;
    std::vector<uint32_t> sums_;  // of one column: by code, 2 each
};

}  // namespace spanloom::traceql
