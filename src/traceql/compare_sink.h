#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "traceql/series.h"
#include "traceql/span_scan.h"

namespace spanloom::traceql {

// compare({selection}, n): which attribute values the selected spans have, beside those of all
// others. Whole columns are counted, row group by row group. One thread.
class CompareSink final : public SpanSink {
  public:
    // `stage`, `grid` and `memory` outlive it.
    // Each span that is added stands for `scale`.
    CompareSink(const Stage& stage, const Grid& grid, bool is_weighted, double scale,
                MemoryShare& memory);
    ~CompareSink() override;

    Result<void> add(store::SearchSegment& segment, store::GroupReader& group,
                     const store::RowBitmap& rows, const store::RowBitmap* selected) override;
    // Rows are remembered; end() counts them.
    bool add(StoredRows& trace, Conditions& conditions, const std::vector<uint32_t>& rows,
             const std::vector<uint32_t>& selected) override;
    Result<void> end() override;
    // What another sink of the same stage has counted.
    void add(const CompareSink& other);

    SpanSink& sink() { return *this; }
    bool is_full() const { return is_full_; }
    bool is_sampled() const { return is_sampled_; }
    // For each attribute its most frequent values, of the baseline and of the selection.
    std::vector<Series> finish(const Sharing& share) const;

  private:
    struct Row {
        uint32_t row = 0;
        uint32_t interval = 0;
        bool is_selected = false;
        double weight = 1;
    };
    // How often one value came in each slot (2 * interval, + 1 where selected), in the order in
    // which it was met.
    struct Counts {
        std::vector<std::pair<uint32_t, double>> slots;
        double baseline = 0;
        double selection = 0;
    };
    static constexpr uint32_t kTooMany = UINT32_MAX;
    struct Attribute {
        boost::unordered_flat_map<int64_t, uint32_t> by_integer;  // of values that are integers
        boost::unordered_flat_map<std::string, uint32_t> by_key;
        std::vector<store::Value> values;
        std::vector<Counts> counts;
        Counts totals;
        uint64_t overflowed = 0;
        // It has so many values that those of the baseline are not told apart.
        bool is_crowded = false;
    };
    // What was found out about one column (or the scopes) of the segment.
    struct ColumnState {
        Attribute* attribute = nullptr;
        std::shared_ptr<const void> owner;
        std::span<const std::string_view> strings;
        std::vector<uint32_t> by_code;  // which value; kUnknown: not looked up yet
    };
    using Place = std::pair<store::SearchSegment*, uint32_t>;
    struct Counting;

    void count_slot(Counts& counts, uint32_t slot, double weight);
    uint32_t value_number(Attribute& attribute, const store::Value& value);
    uint32_t integer_number(Attribute& attribute, const store::Value& value);
    bool charge(size_t bytes);
    Result<std::vector<double>> weights_of(store::SegmentReader& reader, store::GroupReader& group,
                                           const store::RowBitmap& rows);
    void use(store::SegmentReader& reader);
    void count_codes(ColumnState& state, const store::ColumnKey& key,
                     const store::ColumnBlock& block, const Counting& counting);
    void count_values(ColumnState& state, const store::ColumnKey& key,
                      const store::ColumnBlock& block, const Counting& counting);
    Result<void> count_enumeration(store::SegmentReader& reader, store::GroupReader& group,
                                   store::Intrinsic intrinsic, const Counting& counting);
    Result<void> count_resources(store::SegmentReader& reader, store::GroupReader& group,
                                 const Counting& counting);
    const std::vector<std::pair<Attribute*, uint32_t>>& resource(const store::Segment& segment,
                                                                 uint32_t index);
    void count_totals(Attribute& attribute, const store::ColumnBlock& block,
                      const Counting& counting);
    void count_selected(ColumnState& state, const store::ColumnKey& key,
                        const store::ColumnBlock& block, const Counting& counting);
    void count_one(Attribute& attribute, uint32_t number, uint32_t slot, double weight);
    Result<void> count_group(store::SegmentReader& reader, store::GroupReader& group,
                             const Counting& counting);
    void add_series(const std::string& name, const Attribute& attribute,
                    std::vector<Series>& out) const;
    std::vector<double> values_of(const Counts& counts, bool of_selection) const;

    const Stage& stage_;
    const Grid& grid_;
    bool is_weighted_;
    double scale_;
    uint64_t start_ns_ = 0;  // where the selection is limited in time
    uint64_t end_ns_ = UINT64_MAX;
    MemoryShare& memory_;
    size_t memory_bytes_ = 0;
    bool is_full_ = false;
    bool is_sampled_ = false;
    std::map<std::string, Attribute> attributes_;
    std::map<Place, std::vector<Row>> rows_;  // of whole traces
    // Of the segment being counted.
    const store::SegmentReader* reader_ = nullptr;
    std::vector<ColumnState> columns_;
    std::vector<std::vector<std::pair<Attribute*, uint32_t>>> resources_;  // attributes of each
    std::vector<uint8_t> is_resource_read_;
    std::vector<uint32_t> sums_;  // of one column: by code, 2 each
};

}  // namespace spanloom::traceql
