#include "store/segment_rows.h"

#include <algorithm>

#include <boost/unordered/unordered_flat_map.hpp>

namespace spanloom::store {
namespace {

constexpr size_t kScanMax = 48;              // rows up to which looking at each beats a table
constexpr uint64_t kGroupChildren = 65'536;  // events (links) after which a group is closed

int64_t link_between(int64_t row, int64_t parent) {
    if (parent == row) return kParentElsewhere;
    return parent < row ? 2 * (row - parent) : 2 * (parent - row) + 1;
}

}  // namespace

void link_parents(std::span<const SpanId> ids, std::span<const SpanId> parents,
                  std::vector<int64_t>& links) {
    links.assign(ids.size(), kParentElsewhere);
    boost::unordered_flat_map<SpanId, uint32_t, std::hash<SpanId>> rows;
    if (ids.size() > kScanMax)
        for (uint32_t row = 0; row < ids.size(); ++row)
            rows.try_emplace(ids[row], row);
    for (size_t row = 0; row < ids.size(); ++row) {
        const SpanId& parent = parents[row];
        if (parent.is_zero()) {
            links[row] = kParentNone;
        } else if (ids.size() > kScanMax) {
            const auto at = rows.find(parent);
            if (at != rows.end()) links[row] = link_between(static_cast<int64_t>(row), at->second);
        } else {
            const auto at = std::find(ids.begin(), ids.end(), parent);
            if (at != ids.end())
                links[row] = link_between(static_cast<int64_t>(row), at - ids.begin());
        }
    }
}

GroupPlan::GroupPlan(uint32_t group_rows)
    : group_rows_(std::clamp<uint32_t>(group_rows, 1, kGroupRowsMax)) {}

bool GroupPlan::is_due(uint32_t fragment_rows) const {
    // A fragment that would be cut anyway may begin anywhere, but not for the sake of a few rows.
    return rows_ > 0 && rows_ + uint64_t{fragment_rows} > group_rows_ &&
           (fragment_rows <= group_rows_ || rows_ > group_rows_ / 2);
}

bool GroupPlan::is_full(uint32_t events, uint32_t links) const {
    return rows_ > 0 && (rows_ >= group_rows_ || events_ + events > kGroupChildren ||
                         links_ + links > kGroupChildren);
}

void GroupPlan::add(uint32_t fragment, uint64_t fragment_start_ns, uint32_t row_of_fragment,
                    uint32_t events, uint32_t links) {
    if (parts_.empty() || parts_.back().fragment != fragment)
        parts_.push_back({fragment, fragment_start_ns, 0, row_of_fragment > 0});
    ++parts_.back().rows;
    ++rows_;
    events_ += events;
    links_ += links;
}

Result<void> GroupPlan::write(SegmentWriter& writer) {
    if (rows_ == 0) return {};
    TRY(writer.write_group(parts_));
    parts_.clear();
    rows_ = 0;
    events_ = 0;
    links_ = 0;
    return {};
}

}  // namespace spanloom::store
