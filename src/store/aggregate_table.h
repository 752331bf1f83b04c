#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/scan.h"

// Where an aggregation gathers its numbers: groups, their cells by step, and histograms.
namespace spanloom::store {

// Orders keys of groups.
struct KeyBefore {
    bool operator()(const std::vector<Value>& a, const std::vector<Value>& b) const;
};

// Counts per bucket between the lowest and the highest one met. One thread.
class BucketCounts {
  public:
    void add(int32_t bucket, uint64_t count);
    void add(const BucketCounts& other);
    std::vector<HistogramBucket> buckets() const;
    size_t memory_bytes() const { return counts_.capacity() * sizeof(uint64_t); }

  private:
    int32_t first_ = 0;
    std::vector<uint64_t> counts_;
};

// The sums of one (group, step).
struct CellSums {
    uint64_t rows = 0;
    double extra_weight = 0;  // beyond one per row
};

// All cells of an aggregation: those of a group appear as rows fall into them. One thread.
class CellTable {
  public:
    CellTable(const AggregateRequest& request, uint32_t steps);

    uint32_t add_group();
    uint32_t cell(uint32_t group, uint32_t step) {
        uint32_t& cell = cells_of_[group][step];
        return cell != kNone ? cell : add_cell(cell);
    }
    CellSums& sums(uint32_t cell) { return sums_[cell]; }
    AggregateCell::Number& number(uint32_t cell, size_t aggregate) {
        return numbers_[cell * aggregates_.size() + aggregate];
    }
    BucketCounts& histogram(uint32_t cell, size_t aggregate) {
        return histograms_[cell * histograms_per_cell_ + histogram_of_[aggregate]];
    }
    // Adds one group of another table.
    void add(uint32_t group, CellTable& other, uint32_t other_group);
    AggregateCell answer(uint32_t group, uint32_t step);
    size_t groups() const { return cells_of_.size(); }
    size_t memory_bytes() const;

    static void add(Aggregate::Kind kind, const AggregateCell::Number& from,
                    AggregateCell::Number& to);

  private:
    static constexpr uint32_t kNone = UINT32_MAX;
    uint32_t add_cell(uint32_t& place);

    std::span<const Aggregate> aggregates_;
    uint32_t steps_;
    std::vector<uint32_t> histogram_of_;  // per aggregate
    uint32_t histograms_per_cell_ = 0;
    std::vector<std::vector<uint32_t>> cells_of_;  // per group and step
    std::vector<CellSums> sums_;
    std::vector<AggregateCell::Number> numbers_;
    std::vector<BucketCounts> histograms_;
};

// Numbers the keys that rows of one segment have. One thread.
class GroupKeys {
  public:
    explicit GroupKeys(size_t fields) : parts_(fields), prefixes_(fields) {}

    // Sets, for each row, which group it is in; groups are numbered as they come.
    void number(std::span<const ScanColumn> columns, size_t rows, std::vector<uint32_t>& groups);
    size_t count() const { return keys_.size(); }
    std::vector<Value> key(uint32_t group) const;
    size_t memory_bytes() const { return memory_bytes_; }

  private:
    // The distinct values of one field.
    struct Part {
        std::vector<Value> values;
        std::map<Value, uint32_t, bool (*)(const Value&, const Value&)> numbers;
        std::unordered_map<uint64_t, uint32_t> integers;  // by cell and kind
        const std::string_view* texts = nullptr;          // that `codes` is about
        std::shared_ptr<const void> owner;
        std::vector<uint32_t> codes;  // by code of `texts`

        Part();
    };

    uint32_t part_of(Part& part, const ScanColumn& column, size_t row);
    uint32_t learn(Part& part, Value value);

    std::vector<Part> parts_;
    std::vector<std::vector<uint32_t>> keys_;  // per group, the part of each field
    // Per field but the first: (number of the key so far, part) to number.
    std::vector<std::unordered_map<uint64_t, uint32_t>> prefixes_;
    size_t memory_bytes_ = 0;
};

}  // namespace spanloom::store
