#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/segment.h"

namespace spanloom::store {

constexpr uint32_t kNoColumn = UINT32_MAX;

// Counted while a query reads.
struct ReadCounts {
    uint64_t bytes = 0;  // of decoded columns
    uint64_t blocks = 0;
};

// Where a row's value is within a block. `last`: of several, the one that counts in search.
std::optional<uint32_t> position_of(const ColumnBlock& block, uint32_t row);

// One row group's columns, each decoded at most once while the reader lives. One thread.
class GroupReader {
  public:
    GroupReader(std::shared_ptr<const Segment> segment, uint32_t group, ReadCounts& counts);

    uint32_t group() const { return group_; }
    const RowGroup& rows() const { return rows_; }
    uint32_t table_rows(Table table) const;
    // kNoColumn gives a block without rows.
    Result<const ColumnBlock*> block(uint32_t column);

  private:
    std::shared_ptr<const Segment> segment_;
    uint32_t group_;
    RowGroup rows_;
    ReadCounts& counts_;
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
};

}  // namespace spanloom::store
