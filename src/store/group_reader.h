#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/row_bitmap.h"
#include "store/segment.h"

namespace spanloom::store {

constexpr uint32_t kNoColumn = UINT32_MAX;

// Counted while a query reads.
struct ReadCounts {
    uint64_t bytes = 0;  // of decoded columns
    uint64_t blocks = 0;
};

// What the row groups that a query holds decoded may take together. Any thread.
class ScanMemory {
  public:
    explicit ScanMemory(uint64_t bytes_max, std::function<void()> let_go = nullptr)
        : bytes_max_(bytes_max), let_go_(std::move(let_go)) {}
    bool take(uint64_t bytes) {
        if (try_take(bytes)) return true;
        if (let_go_) let_go_();
        return let_go_ && try_take(bytes);
    }
    void give_back(uint64_t bytes) { bytes_ -= bytes; }
    uint64_t bytes_max() const { return bytes_max_; }

  private:
    bool try_take(uint64_t bytes) {
        if ((bytes_ += bytes) <= bytes_max_) return true;
        bytes_ -= bytes;
        return false;
    }

    const uint64_t bytes_max_;
    const std::function<void()> let_go_;  // of what can be read again
    std::atomic<uint64_t> bytes_ = 0;
};

// Where a row's value is within a block. `last`: of several, the one that counts in search.
std::optional<uint32_t> position_of(const ColumnBlock& block, uint32_t row);

// One row group's columns, each decoded at most once while the reader lives. One thread.
class GroupReader {
  public:
    // Without `memory` there is no limit.
    GroupReader(std::shared_ptr<const Segment> segment, uint32_t group, ReadCounts& counts,
                ScanMemory* memory);
    GroupReader(const GroupReader&) = delete;
    GroupReader& operator=(const GroupReader&) = delete;
    ~GroupReader();

    uint32_t group() const { return group_; }
    const RowGroup& rows() const { return rows_; }
    uint32_t table_rows(Table table) const;
    // kNoColumn gives a block without rows. kResourceExhausted where there is no memory for it.
    Result<const ColumnBlock*> block(uint32_t column);
    // From now on blocks of the spans need not have the values of other rows. Goes before block().
    void narrow(const RowBitmap& rows);
    // For these rows alone: texts of others may be empty. Not kept.
    Result<std::shared_ptr<const ColumnBlock>> some(uint32_t column, const RowBitmap& rows);
    // Segment::read_values(). Not kept.
    Result<std::shared_ptr<const ColumnBlock>> values(uint32_t column, size_t count,
                                                      std::span<const uint8_t> wanted);
    // Segment::value_counts().
    Result<std::optional<Segment::ValueCounts>> value_counts(uint32_t column, size_t count) {
        return segment_->value_counts(column, group_, count);
    }
    // Segment::read_values_at(). Not kept.
    Result<std::shared_ptr<const ColumnBlock>> values_at(uint32_t column, size_t count,
                                                         std::span<const uint32_t> places,
                                                         std::span<const uint32_t> rows);

  private:
    std::shared_ptr<const Segment> segment_;
    uint32_t group_;
    RowGroup rows_;
    ReadCounts& counts_;
    ScanMemory* memory_;
    uint64_t taken_bytes_ = 0;            // of memory_
    std::unique_ptr<ChosenRows> chosen_;  // none: all
    std::unordered_map<uint32_t, std::shared_ptr<const ColumnBlock>> blocks_;
};

// One segment as one query sees it: which columns it has, the names of its services, and the row
// groups read last. One thread; lives as long as the query.
class SegmentReader {
  public:
    explicit SegmentReader(std::shared_ptr<const Segment> segment);

    const Segment& segment() const { return *segment_; }
    uint32_t column(Table table, Intrinsic intrinsic) const;
    uint32_t column(Table table, RowField field) const;
    // Every type that this key has.
    std::vector<uint32_t> attribute_columns(Table table, std::string_view key) const;

    // For groups from now on; outlives the reader.
    void limit_memory(ScanMemory& memory) { memory_ = &memory; }
    // Lets go of groups that nobody else holds.
    void forget_groups() { groups_.clear(); }
    // Kept for a while, as neighbouring traces are in one group. Valid while it is held.
    std::shared_ptr<GroupReader> group(uint32_t index);
    uint32_t group_of_row(uint32_t row) const;
    // The fragment that holds a row of the spans table.
    Result<uint32_t> fragment_of_row(uint32_t row) const;

    std::string_view service_of_scope(uint32_t scope);
    const ReadCounts& counts() const { return counts_; }

  private:
    static constexpr size_t kGroupsKept = 4;
    static constexpr size_t kTables = 3;

    std::shared_ptr<const Segment> segment_;
    std::array<std::array<uint32_t, 32>, kTables> intrinsics_;
    std::array<std::array<uint32_t, 16>, kTables> row_fields_;
    std::list<std::shared_ptr<GroupReader>> groups_;  // newest first
    std::vector<std::string> services_;               // by resource; filled at first use
    ReadCounts counts_;
    ScanMemory* memory_ = nullptr;
};

}  // namespace spanloom::store
