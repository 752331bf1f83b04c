#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "store/field_reader.h"
#include "store/trace_stream.h"
#include "traceql/planner.h"
#include "traceql/series.h"

namespace spanloom::traceql {

// Values of a query, numbered. One thread.
class ValueNumbers {
  public:
    uint32_t number_of(const store::Value& value);
    const store::Value& value(uint32_t number) const { return values_[number]; }
    size_t size() const { return values_.size(); }

  private:
    std::unordered_map<std::string, uint32_t> numbers_;
    std::vector<store::Value> values_;
    std::string key_;
};

// The values of one field of one segment's spans as numbers, a row group at a time: dictionary
// codes and resources are looked up once. One thread.
class FieldNumbers {
  public:
    // Whether single spans carry the field.
    static bool can_read(const Expression& field);

    FieldNumbers(store::SegmentReader& reader, const store::Field& field, ValueNumbers& numbers);

    // out[i] for rows[i], which ascend.
    Result<void> read(store::GroupReader& group, std::span<const uint32_t> rows,
                      std::vector<uint32_t>& out);

  private:
    Result<void> read_scopes(store::GroupReader& group, std::span<const uint32_t> rows,
                             std::vector<uint32_t>& out);
    Result<void> read_column(store::GroupReader& group, std::span<const uint32_t> rows,
                             std::vector<uint32_t>& out);
    store::Value value_at(const store::ColumnBlock& block, uint32_t position) const;

    store::SegmentReader& reader_;
    store::Field field_;
    ValueNumbers& numbers_;
    store::FieldReader values_;
    bool is_of_scope_ = false;
    std::optional<uint32_t> column_;  // the only one that has the field
    uint32_t absent_ = 0;             // what rows without a value have
    std::vector<uint32_t> by_scope_;  // UINT32_MAX: not looked up yet
    std::vector<uint32_t> by_code_;
    std::shared_ptr<const void> dictionary_;
    const std::string_view* strings_ = nullptr;
};

// Counts spans that single columns decide into series, row group by row group, without putting
// traces together. Equal spans count once: traces that more than one segment may hold are left to
// the caller. One thread; what it is given outlives it.
class ColumnarCount {
  public:
    // Whether the columns alone can answer it.
    static bool can_count(const Plan& plan, const Stage& metric);

    ColumnarCount(const Stage& metric, const Grid& grid, bool is_weighted, uint32_t exemplars,
                  SeriesSet& set);

    // Traces that `others` may hold spans of that `segment` holds too: the caller counts them.
    Result<void> find_shared(const store::Segment& segment,
                             std::span<const std::shared_ptr<const store::Segment>> others,
                             std::unordered_set<TraceId>& shared) const;
    // All of a segment but the shared traces.
    Result<void> count(store::SearchSegment& segment, const std::unordered_set<TraceId>& shared,
                       store::ScanStats& stats, const std::function<bool()>& stop);
    bool is_sampled() const { return is_sampled_; }

  private:
    struct Columns;  // of the segment being counted

    static Result<void> leave_unshared(store::SearchSegment& segment, const store::RowGroup& group,
                                       const std::unordered_set<TraceId>& shared,
                                       store::RowBitmap& rows);
    Result<void> count_group(store::SearchSegment& segment, Columns& columns,
                             store::GroupReader& group, const store::RowBitmap& rows);
    Result<bool> read_values(store::SegmentReader& reader, Columns& columns,
                             store::GroupReader& group);
    Result<void> read_weights(store::SegmentReader& reader, store::GroupReader& group);
    Result<void> read_series(Columns& columns, store::GroupReader& group);
    Result<void> add_exemplars(store::SearchSegment& segment, store::GroupReader& group);
    uint32_t series_of(std::span<const uint32_t> numbers);

    const Stage& metric_;
    const Grid& grid_;
    bool is_weighted_;
    uint32_t exemplars_;
    SeriesSet& set_;
    bool is_sampled_ = false;
    ValueNumbers numbers_;
    std::vector<uint32_t> series_of_number_;                   // by() of one field
    std::unordered_map<std::string, uint32_t> series_of_key_;  // of several
    // Of the rows being counted.
    std::vector<uint32_t> rows_;
    std::vector<uint32_t> intervals_;
    std::vector<uint64_t> starts_;
    std::vector<double> values_;
    std::vector<double> weights_;
    std::vector<uint32_t> series_;
    std::vector<std::vector<uint32_t>> groups_;
};

}  // namespace spanloom::traceql
