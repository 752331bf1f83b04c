#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "traceql/series.h"
#include "traceql/stored_rows.h"

namespace spanloom::traceql {

// compare({selection}, n): which attribute values the selected spans have, beside those of all
// others. Spans are remembered row group by row group; then whole columns of them are counted.
// One thread.
class CompareCounter {
  public:
    // `stage` outlives it. At most about `memory_bytes_max`.
    CompareCounter(const Stage& stage, Grid grid, size_t memory_bytes_max);
    ~CompareCounter();

    void add(StoredRows& rows, uint32_t row, double weight, bool is_selected);
    bool is_full() const { return is_full_; }
    // For each attribute its most frequent values, of the baseline and of the selection.
    Result<std::vector<Series>> finish();

  private:
    struct Row {
        uint32_t row = 0;
        uint32_t slot = 0;  // 2 * interval, + 1 where selected
        double weight = 1;
    };
    // How often one value came in each slot, in the order in which it was met.
    struct Counts {
        std::vector<std::pair<uint32_t, double>> slots;
        double baseline = 0;
        double selection = 0;

        void add(uint32_t slot, double weight);
    };
    struct Attribute {
        std::unordered_map<std::string, uint32_t> by_key;
        std::vector<store::Value> values;
        std::vector<Counts> counts;
        Counts totals;
        uint64_t overflowed = 0;
    };
    using Group = std::pair<store::SearchSegment*, uint32_t>;
    struct Counting;

    Counts* counts_of(Attribute& attribute, const store::Value& value);
    Attribute& attribute(const std::string& name) { return attributes_[name]; }
    Result<void> count_group(const Group& group, std::vector<Row>& rows);
    void add_series(const std::string& name, const Attribute& attribute,
                    std::vector<Series>& out) const;
    std::vector<double> values_of(const Counts& counts, bool of_selection) const;
    bool charge(size_t bytes);

    const Stage& stage_;
    Grid grid_;
    uint64_t start_ns_ = 0;  // where the selection is limited in time
    uint64_t end_ns_ = UINT64_MAX;
    size_t memory_bytes_max_;
    size_t memory_bytes_ = 0;
    bool is_full_ = false;
    std::map<Group, std::vector<Row>> rows_;
    std::map<std::string, Attribute> attributes_;
};

}  // namespace spanloom::traceql
