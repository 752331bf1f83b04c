#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "traceql/field_numbers.h"
#include "traceql/series.h"
#include "traceql/span_scan.h"

namespace spanloom::traceql {

// Counts spans into series: by whole columns where they come as rows of one, which all must be of
// one segment. One thread; what it is given outlives it.
class SeriesSink final : public SpanSink {
  public:
    // Whether columns tell all that the metric asks of a span.
    static bool can_count(const Stage& metric);

    SeriesSink(const Stage& metric, const Grid& grid, bool is_weighted, uint32_t exemplars,
               SeriesSet& set);
    ~SeriesSink() override;

    Result<void> add(store::SearchSegment& segment, store::GroupReader& group,
                     const store::RowBitmap& rows, const store::RowBitmap* selected) override;
    bool add(StoredRows& trace, Conditions& conditions, const std::vector<uint32_t>& rows,
             const std::vector<uint32_t>& selected) override;
    // How many the span stood for that stood for most.
    double weight_max() const { return weight_max_; }

  private:
    struct Columns;  // of the segment

    Result<void> read_rows(store::SegmentReader& reader, store::GroupReader& group,
                           const store::RowBitmap& rows);
    Result<void> read_starts(store::SegmentReader& reader, store::GroupReader& group);
    Result<bool> read_values(store::SegmentReader& reader, store::GroupReader& group);
    Result<void> read_durations(store::SegmentReader& reader, store::GroupReader& group);
    Result<void> read_weights(store::SegmentReader& reader, store::GroupReader& group);
    void read_series();
    bool count_numbers();
    bool add_to_sketches();
    Result<void> add_exemplars(store::SearchSegment& segment, store::GroupReader& group);
    uint32_t series_of(std::span<const uint32_t> numbers);
    uint32_t series_of_number(uint32_t number);
    void find_series_of_several();

    const Stage& metric_;
    const Grid& grid_;
    bool is_weighted_;
    uint32_t exemplars_;
    SeriesSet& set_;
    double weight_max_ = 1;
    std::unique_ptr<Columns> columns_;
    ValueNumbers numbers_;
    std::vector<uint32_t> series_of_number_;                   // by() of one field
    std::unordered_map<std::string, uint32_t> series_of_key_;  // of several
    std::vector<store::Value> group_;                          // by(), of one span
    // Of the rows being counted.
    std::span<const uint32_t> rows_;
    std::vector<uint32_t> all_rows_;  // 0, 1, 2, ...
    std::vector<uint32_t> some_rows_;
    std::optional<uint32_t> interval_;  // where all start in one
    std::vector<uint32_t> intervals_;   // else
    std::vector<uint64_t> starts_;      // where they are needed
    std::vector<double> values_;
    std::vector<double> weights_;
    std::vector<uint32_t> series_;
    std::vector<std::vector<uint32_t>> groups_;
    std::vector<uint32_t> counts_;  // by number
    struct Sketched {
        uint32_t series = 0;
        ValueSketch* sketch = nullptr;
        bool is_known = false;
    };
    std::vector<Sketched> sketched_;  // by number and interval
};

}  // namespace spanloom::traceql
