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

namespace {

constexpr int64_t kFirstStep = 2;  // to the row before

// The parents of rows that are before them in the group; those of others are the rows themselves.
std::vector<uint32_t>& rows_above(size_t rows) {
    thread_local std::vector<uint32_t> above;
    above.resize(rows);
    return above;
}

}  // namespace

void steps_of_links(std::span<const int64_t> links, std::vector<int64_t>& steps) {
    std::vector<uint32_t>& above = rows_above(links.size());
    steps.resize(links.size());
    for (size_t row = 0; row < links.size(); ++row) {
        const int64_t link = links[row];
        const size_t parent = parent_row(link, row);
        above[row] = static_cast<uint32_t>(parent);
        steps[row] = link == kParentNone || link == kParentElsewhere ? link : kFarParent + link;
        if (parent == row) continue;
        size_t at = row - 1;
        for (int64_t step = kFirstStep; step < kFarParent; ++step) {
            if (at == parent) {
                steps[row] = step;
                break;
            }
            if (above[at] == at) break;
            at = above[at];
        }
    }
}

bool links_of_steps(std::span<const int64_t> steps, std::vector<int64_t>& links) {
    std::vector<uint32_t>& above = rows_above(steps.size());
    links.resize(steps.size());
    for (size_t row = 0; row < steps.size(); ++row) {
        const int64_t step = steps[row];
        if (step < 0) return false;
        if (step < kFirstStep || step >= kFarParent) {
            links[row] = step < kFirstStep ? step : step - kFarParent;
            above[row] = static_cast<uint32_t>(parent_row(links[row], row));
            continue;
        }
        if (row == 0) return false;
        size_t at = row - 1;
        for (int64_t left = step - kFirstStep; left > 0; --left) {
            if (above[at] == at) return false;
            at = above[at];
        }
        above[row] = static_cast<uint32_t>(at);
        links[row] = static_cast<int64_t>(row - at) * 2;
    }
    return true;
}

uint8_t scope_context(int64_t step) {
    return static_cast<uint8_t>(std::min<int64_t>(step, 15));
}

uint8_t name_context(uint32_t family, bool is_as_parent) {
    return static_cast<uint8_t>(std::min<uint32_t>(family, 127) * 2 + (is_as_parent ? 1 : 0));
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
