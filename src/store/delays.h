#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// When rows came that came long after they ended. A segment knows the times of its first and last
// arrival alone; merging makes these wider, and what a row's own arrival says would be lost.
namespace spanloom::store {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
// A row that came this much after its end is delayed: its arrival is kept, to the second.
constexpr uint64_t kDelayNs = 30 * kNsPerSecond;

constexpr bool is_delayed(uint64_t arrival_s, uint64_t end_ns) {
    const uint64_t arrival_ns = arrival_s * kNsPerSecond;
    return arrival_ns >= end_ns && arrival_ns - end_ns >= kDelayNs;
}

// Rows that came in the same second.
struct DelayedRows {
    uint32_t first_row = 0;
    uint32_t rows = 0;
    uint64_t arrival_s = 0;

    bool operator==(const DelayedRows&) const = default;
};

// Of a segment: its delayed rows, but for those that came in its first second. So every other row
// came in that second, or before it was delayed.
struct Delays {
    std::vector<DelayedRows> runs;  // ascending, apart from each other
    bool is_complete = true;        // false: rows of files of earlier versions may be missing

    // The first run that ends behind this row.
    std::vector<DelayedRows>::const_iterator from(uint32_t row) const;
    // 0: the row is not among them.
    uint64_t arrival_s(uint32_t row) const;
    size_t memory_bytes() const { return runs.capacity() * sizeof(DelayedRows); }
};

// Gathers them while a segment is written.
class DelaysBuilder {
  public:
    // Rows come in ascending order.
    void add(uint32_t row, uint64_t arrival_s);
    // Some rows may be missing.
    void set_incomplete() { delays_.is_complete = false; }
    // The block of a segment whose first arrival was in `first_s`; empty: it needs none.
    std::string block(uint64_t first_s, int zstd_level) const;

  private:
    Delays delays_;
};

// Of a segment with so many rows that came in these seconds.
Result<Delays> read_delays(std::string_view body, uint64_t rows, uint64_t first_s, uint64_t last_s);

}  // namespace spanloom::store
