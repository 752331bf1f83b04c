#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "store/segment_writer.h"

// How rows are laid out in a segment: the order of fragments, links to parents, row groups. Shared
// by building and merging.
namespace spanloom::store {

// The i-th column of an attribute order.
inline uint32_t order_entry(std::string_view order, size_t i) {
    uint32_t column = 0;
    std::memcpy(&column, order.data() + i * 4, 4);
    return column;
}

// Newest first, then by trace id.
inline bool fragment_before(const TraceFragment& a, const TraceFragment& b) {
    return a.start_ns != b.start_ns ? a.start_ns > b.start_ns : a.trace_id < b.trace_id;
}

// For each row of one fragment, where its parent is: kParentNone, kParentElsewhere, or 2 * distance
// to a row before it, 2 * distance + 1 to one after it. A span that is its own parent is elsewhere.
void link_parents(std::span<const SpanId> ids, std::span<const SpanId> parents,
                  std::vector<int64_t>& links);

// Links of a row group in another way: kParentNone, kParentElsewhere, or where the parent is on the
// way up from the row before: 2 that row, 3 its parent, and so on. What is not there, or too far,
// is kFarParent + link. Nearly all spans begin below what began just before.
constexpr int64_t kFarParent = 64;
void steps_of_links(std::span<const int64_t> links, std::vector<int64_t>& steps);
// And back. False where there is no such row.
bool links_of_steps(std::span<const int64_t> steps, std::vector<int64_t>& links);

// What values are modelled by (docs/format/segment.md, "Models"): scopes by the steps to the
// parents, names by the family of the scope, and whether the parent has the same scope.
uint8_t scope_context(int64_t step);
uint8_t name_context(uint32_t family, bool is_as_parent);

// Cuts rows into groups: whole fragments where they fit.
class GroupPlan {
  public:
    explicit GroupPlan(uint32_t group_rows);

    // Whether a fragment of so many rows is better begun in a new group.
    bool is_due(uint32_t fragment_rows) const;
    // Whether not even one row more fits.
    bool is_full(uint32_t events, uint32_t links) const;
    // The next row goes into the group at hand.
    void add(uint32_t fragment, uint64_t fragment_start_ns, uint32_t row_of_fragment,
             uint32_t events, uint32_t links);
    // Writes the staged rows, if there are any, and begins the next group.
    Result<void> write(SegmentWriter& writer);
    uint32_t rows() const { return rows_; }

  private:
    uint32_t group_rows_;
    uint32_t rows_ = 0;
    uint64_t events_ = 0;
    uint64_t links_ = 0;
    std::vector<SegmentWriter::Part> parts_;
};

}  // namespace spanloom::store
