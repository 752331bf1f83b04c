#include "traceql/shared_traces.h"

#include <algorithm>
#include <bit>
#include <mutex>

#include "store/scan_segments.h"
#include "store/trace_summary.h"

namespace spanloom::traceql {
namespace {

using store::Segment;
using store::TraceFragment;

// What several threads find.
class Found {
  public:
    void add(const TraceSet& traces) {
        const std::lock_guard lock(mutex_);
        traces_.insert(traces.begin(), traces.end());
    }
    void fail_with(const Error& error) {
        const std::lock_guard lock(mutex_);
        if (outcome_) outcome_ = tl::unexpected<Error>(error);
    }
    Result<TraceSet> take() {
        TRY(std::move(outcome_));
        return std::move(traces_);
    }

  private:
    std::mutex mutex_;
    TraceSet traces_;
    Result<void> outcome_;
};

bool may_share(const Segment& other, uint64_t start_ns, uint64_t end_ns) {
    const store::SegmentInfo& info = other.info();
    return info.spans > 0 && start_ns <= info.end_ns_max && end_ns >= info.start_ns_min;
}

// The fragment that holds a row, not before `from`.
Result<uint32_t> fragment_of(const Segment& segment, uint32_t from, uint32_t row) {
    uint32_t low = from;
    uint32_t high = segment.fragment_count();
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        TRY_ASSIGN(const TraceFragment fragment, segment.fragment(middle));
        (fragment.first_row <= row ? low : high) = middle;
    }
    return low;
}

Result<void> find_near(const Segment& segment, std::span<const Segment* const> others,
                       store::TimeRange range, TraceSet& shared) {
    uint32_t index = 0;
    for (const store::RowGroup& group : segment.row_groups()) {
        const bool is_near = store::overlaps(group.start_ns_min, group.end_ns_max, range) &&
                             std::any_of(others.begin(), others.end(), [&](const Segment* other) {
                                 return may_share(*other, group.start_ns_min, group.end_ns_max);
                             });
        if (!is_near) continue;
        // It may begin in the group before.
        TRY_ASSIGN(index, fragment_of(segment, index, group.first_row));
        for (; index < segment.fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, segment.fragment(index));
            const uint32_t end_row = group.first_row + group.rows;
            if (fragment.first_row >= end_row) break;
            for (const Segment* other : others) {
                if (!may_share(*other, fragment.start_ns, fragment.end_ns)) continue;
                TRY_ASSIGN(const auto found, other->find(fragment.trace_id));
                if (found) shared.insert(fragment.trace_id);
            }
            if (fragment.first_row + fragment.rows > end_row) break;
        }
    }
    return {};
}

// One segment's fragments in the order of their hashes.
struct Indexed {
    const Segment* segment = nullptr;
    std::shared_ptr<const store::TraceIndex> index;
};

// Hashes in [begin, end) of all segments, put into a table; what meets there may be one trace.
Result<void> find_equal(std::span<const Indexed> segments, uint32_t begin, uint32_t last,
                        TraceSet& shared) {
    struct Slot {
        uint32_t hash = 0;
        uint32_t segment = UINT32_MAX;
        uint32_t fragment = 0;
    };
    struct Part {
        size_t first = 0;
        size_t end = 0;
    };
    std::vector<Part> parts;
    size_t all = 0;
    for (const Indexed& one : segments) {
        const auto& hashes = one.index->hashes;
        const auto first = std::lower_bound(hashes.begin(), hashes.end(), begin);
        const auto end = std::upper_bound(first, hashes.end(), last);
        parts.push_back({static_cast<size_t>(first - hashes.begin()),
                         static_cast<size_t>(end - hashes.begin())});
        all += parts.back().end - parts.back().first;
    }
    std::vector<Slot> slots(std::bit_ceil(std::max<size_t>(16, all * 2)));
    const size_t mask = slots.size() - 1;
    for (uint32_t number = 0; number < segments.size(); ++number) {
        const store::TraceIndex& index = *segments[number].index;
        for (size_t i = parts[number].first; i < parts[number].end; ++i) {
            const Slot own{index.hashes[i], number, index.fragments[i]};
            size_t at = (own.hash * 0x9e3779b1U) & mask;
            std::optional<TraceId> id;
            for (; slots[at].segment != UINT32_MAX; at = (at + 1) & mask) {
                if (slots[at].hash != own.hash || slots[at].segment == number) continue;
                if (!id) {
                    TRY_ASSIGN(const TraceFragment fragment,
                               segments[number].segment->fragment(own.fragment));
                    id = fragment.trace_id;
                }
                TRY_ASSIGN(const TraceFragment met,
                           segments[slots[at].segment].segment->fragment(slots[at].fragment));
                if (met.trace_id == *id) shared.insert(*id);
            }
            slots[at] = own;
        }
    }
    return {};
}

}  // namespace

Result<TraceSet> traces_with_equal_spans(store::Segments segments, const store::ScanScope& scope) {
    Found all;
    store::share_out(scope, segments.size(), [&](size_t number) {
        const Segment& segment = *segments[number];
        const store::SegmentInfo& info = segment.info();
        if (info.spans == 0 || !store::overlaps(info.start_ns_min, info.end_ns_max, scope.range))
            return;
        std::vector<const Segment*> others;
        for (const auto& other : segments) {
            if (other.get() != &segment && may_share(*other, info.start_ns_min, info.end_ns_max))
                others.push_back(other.get());
        }
        if (others.empty()) return;
        TraceSet shared;
        if (const auto found = find_near(segment, others, scope.range, shared); !found)
            all.fail_with(found.error());
        all.add(shared);
    });
    return all.take();
}

Result<TraceSet> traces_in_parts(store::Segments segments, const store::ScanScope& scope) {
    const store::TimeRange near = store::with_margin(scope.range);
    std::vector<Indexed> indexed;
    std::vector<const Segment*> others;  // without an index
    for (const auto& segment : segments) {
        const store::SegmentInfo& info = segment->info();
        if (info.spans == 0 || !store::overlaps(info.start_ns_min, info.end_ns_max, near)) continue;
        TRY_ASSIGN(auto index, segment->trace_index());
        if (index != nullptr) {
            indexed.push_back({segment.get(), std::move(index)});
        } else {
            others.push_back(segment.get());
        }
    }
    Found all;
    if (indexed.size() > 1) {
        constexpr uint32_t kParts = 64;  // so that a part's table fits into a cache
        constexpr uint32_t kWidth = UINT32_MAX / kParts + 1;
        store::share_out(scope, kParts, [&](size_t part) {
            TraceSet shared;
            const auto begin = static_cast<uint32_t>(part * kWidth);
            const auto found = find_equal(indexed, begin, begin + (kWidth - 1), shared);
            if (!found) all.fail_with(found.error());
            all.add(shared);
        });
    }
    TraceSet shared;
    for (size_t i = 0; i < others.size(); ++i) {
        for (uint32_t index = 0; index < others[i]->fragment_count(); ++index) {
            TRY_ASSIGN(const TraceFragment fragment, others[i]->fragment(index));
            const auto has = [&](const Segment* other) -> Result<bool> {
                if (other == others[i]) return false;
                TRY_ASSIGN(const auto found, other->find(fragment.trace_id));
                return found.has_value();
            };
            for (const Segment* other : others) {
                TRY_ASSIGN(const bool is_there, has(other));
                if (is_there) shared.insert(fragment.trace_id);
            }
            for (const Indexed& other : indexed) {
                TRY_ASSIGN(const bool is_there, has(other.segment));
                if (is_there) shared.insert(fragment.trace_id);
            }
        }
    }
    all.add(shared);
    return all.take();
}

}  // namespace spanloom::traceql
