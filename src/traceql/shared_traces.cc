#include "traceql/shared_traces.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "base/hash.h"
#include "store/group_reader.h"
#include "store/scan_segments.h"
#include "store/trace_summary.h"

namespace spanloom::traceql {
namespace {

using store::Segment;
using store::TraceFragment;
using Trace = SharedTraces::Trace;
using Part = SharedTraces::Part;

// What several threads find.
class Found {
  public:
    void add(std::vector<Trace> traces) {
        const std::lock_guard lock(mutex_);
        for (Trace& trace : traces)
            traces_.push_back(std::move(trace));
    }
    void fail_with(const Error& error) {
        const std::lock_guard lock(mutex_);
        if (outcome_) outcome_ = tl::unexpected<Error>(error);
    }
    Result<std::vector<Trace>> take() {
        TRY(std::move(outcome_));
        // Threads come in any order.
        std::sort(traces_.begin(), traces_.end(), [](const Trace& a, const Trace& b) {
            return std::tie(b.start_ns, a.parts[0].fragment.trace_id) <
                   std::tie(a.start_ns, b.parts[0].fragment.trace_id);
        });
        return std::move(traces_);
    }

  private:
    std::mutex mutex_;
    std::vector<Trace> traces_;
    Result<void> outcome_;
};

// Of a segment that has none.
Result<std::shared_ptr<const store::TraceIndex>> make_index(const Segment& segment) {
    std::vector<std::pair<uint32_t, uint32_t>> order;
    for (uint32_t index = 0; index < segment.fragment_count(); ++index) {
        TRY_ASSIGN(const TraceFragment fragment, segment.fragment(index));
        order.emplace_back(static_cast<uint32_t>(hash64(fragment.trace_id.view()) >> 32), index);
    }
    std::sort(order.begin(), order.end());
    auto made = std::make_shared<store::TraceIndex>();
    for (const auto& [hash, fragment] : order) {
        made->hashes.push_back(hash);
        made->fragments.push_back(fragment);
    }
    return std::shared_ptr<const store::TraceIndex>(std::move(made));
}

struct Indexed {
    const Segment* segment = nullptr;
    std::shared_ptr<const store::TraceIndex> index;
};

// Hashes in [begin, last] of all segments, put into a table; what meets there may be one trace.
class Meeting {
  public:
    explicit Meeting(std::span<const Indexed> segments) : segments_(segments) {}

    Result<std::vector<Trace>> run(uint32_t begin, uint32_t last) {
        struct Range {
            size_t first = 0;
            size_t end = 0;
        };
        std::vector<Range> ranges;
        size_t all = 0;
        for (const Indexed& one : segments_) {
            const auto& hashes = one.index->hashes;
            const auto first = std::lower_bound(hashes.begin(), hashes.end(), begin);
            const auto end = std::upper_bound(first, hashes.end(), last);
            ranges.push_back({static_cast<size_t>(first - hashes.begin()),
                              static_cast<size_t>(end - hashes.begin())});
            all += ranges.back().end - ranges.back().first;
        }
        slots_.assign(std::bit_ceil(std::max<size_t>(16, all * 2)), {});
        for (uint32_t number = 0; number < segments_.size(); ++number) {
            const store::TraceIndex& index = *segments_[number].index;
            for (size_t i = ranges[number].first; i < ranges[number].end; ++i)
                TRY(add({index.hashes[i], number, index.fragments[i]}));
        }
        std::vector<Trace> traces;
        for (auto& [id, parts] : parts_) {
            Trace& trace = traces.emplace_back();
            trace.start_ns = UINT64_MAX;
            for (const Part& part : parts)
                trace.start_ns = std::min(trace.start_ns, part.fragment.start_ns);
            trace.parts = std::move(parts);
        }
        return traces;
    }

  private:
    struct Slot {
        uint32_t hash = 0;
        uint32_t segment = UINT32_MAX;
        uint32_t fragment = 0;
    };

    Result<TraceFragment> fragment_of(const Slot& slot) const {
        return segments_[slot.segment].segment->fragment(slot.fragment);
    }

    Result<void> add(const Slot& own) {
        const size_t mask = slots_.size() - 1;
        size_t at = (own.hash * 0x9e3779b1U) & mask;
        std::optional<TraceFragment> fragment;
        bool is_met = false;
        for (; slots_[at].segment != UINT32_MAX; at = (at + 1) & mask) {
            if (is_met || slots_[at].hash != own.hash || slots_[at].segment == own.segment)
                continue;
            if (!fragment) {
                TRY_ASSIGN(fragment, fragment_of(own));
            }
            TRY_ASSIGN(const TraceFragment other, fragment_of(slots_[at]));
            if (other.trace_id != fragment->trace_id) continue;
            is_met = true;
            std::vector<Part>& parts = parts_[fragment->trace_id];
            if (parts.empty()) parts.push_back({slots_[at].segment, other});
            parts.push_back({own.segment, *fragment});
        }
        slots_[at] = own;
        return {};
    }

    std::span<const Indexed> segments_;
    std::vector<Slot> slots_;
    std::unordered_map<TraceId, std::vector<Part>> parts_;
};

// Whether a span id comes in two parts of a trace. One thread; neighbouring traces share row
// groups.
class EqualSpans {
  public:
    explicit EqualSpans(store::Segments segments) {
        for (const auto& segment : segments)
            readers_.push_back(std::make_unique<store::SegmentReader>(segment));
    }

    Result<bool> are_in(const Trace& trace) {
        ids_.clear();
        for (uint32_t part = 0; part < trace.parts.size(); ++part)
            TRY(read(trace.parts[part], part));
        std::sort(ids_.begin(), ids_.end());
        for (size_t i = 1; i < ids_.size(); ++i) {
            if (ids_[i].first == ids_[i - 1].first && ids_[i].second != ids_[i - 1].second)
                return true;
        }
        return false;
    }

  private:
    Result<void> read(const Part& part, uint32_t number) {
        store::SegmentReader& reader = *readers_[part.segment];
        const uint32_t column = reader.column(store::Table::kSpans, store::Intrinsic::kSpanId);
        const uint32_t end = part.fragment.first_row + part.fragment.rows;
        for (uint32_t row = part.fragment.first_row; row < end;) {
            const auto group = reader.group(reader.group_of_row(row));
            TRY_ASSIGN(const store::ColumnBlock* ids, group->block(column));
            const uint32_t first = group->rows().first_row;
            const uint32_t last = std::min(end, first + group->rows().rows);
            if (last <= row || ids->fixed.size() < size_t{last - first} * 8)
                return fail(ErrorCode::kDataLoss, "spans without id");
            for (; row < last; ++row) {
                uint64_t id = 0;
                std::memcpy(&id, ids->fixed.data() + size_t{row - first} * 8, 8);
                ids_.emplace_back(id, number);
            }
        }
        return {};
    }

    std::vector<std::unique_ptr<store::SegmentReader>> readers_;
    std::vector<std::pair<uint64_t, uint32_t>> ids_;
};

std::vector<std::shared_ptr<const Segment>> near(store::Segments segments, store::TimeRange range) {
    const store::TimeRange wide = store::with_margin(range);
    std::vector<std::shared_ptr<const Segment>> found;
    for (const auto& segment : segments) {
        const store::SegmentInfo& info = segment->info();
        if (info.spans > 0 && store::overlaps(info.start_ns_min, info.end_ns_max, wide))
            found.push_back(segment);
    }
    return found;
}

Result<std::vector<Trace>> traces_in_parts(std::span<const Indexed> segments,
                                           const store::ScanScope& scope) {
    Found all;
    constexpr uint32_t kParts = 64;  // so that a part's table fits into a cache
    constexpr uint32_t kWidth = UINT32_MAX / kParts + 1;
    store::share_out(scope, kParts, [&](size_t part) {
        const auto begin = static_cast<uint32_t>(part * kWidth);
        auto found = Meeting(segments).run(begin, begin + (kWidth - 1));
        if (found) {
            all.add(std::move(*found));
        } else {
            all.fail_with(found.error());
        }
    });
    return all.take();
}

Result<std::vector<Trace>> with_equal_spans(store::Segments segments, std::vector<Trace> traces,
                                            const store::ScanScope& scope) {
    Found all;
    constexpr size_t kAtOnce = 512;
    store::share_out(scope, (traces.size() + kAtOnce - 1) / kAtOnce, [&](size_t part) {
        EqualSpans equal(segments);
        std::vector<Trace> found;
        const size_t end = std::min(traces.size(), (part + 1) * kAtOnce);
        for (size_t i = part * kAtOnce; i < end; ++i) {
            const auto are_there = equal.are_in(traces[i]);
            if (!are_there) all.fail_with(are_there.error());
            if (are_there && *are_there) found.push_back(std::move(traces[i]));
        }
        all.add(std::move(found));
    });
    return all.take();
}

}  // namespace

Result<SharedTraces> SharedTraces::find(store::Segments segments, const store::ScanScope& scope,
                                        Which which) {
    const auto chosen = near(segments, scope.range);
    SharedTraces shared;
    std::vector<Indexed> indexed;
    for (const auto& segment : chosen) {
        shared.segments_.push_back(segment.get());
        TRY_ASSIGN(auto index, segment->trace_index());
        // Hashes of fewer bits would meet by chance all the time.
        if (index == nullptr || index->bits < 32) {
            TRY_ASSIGN(index, make_index(*segment));
        }
        indexed.push_back({segment.get(), std::move(index)});
    }
    if (indexed.size() > 1) {
        TRY_ASSIGN(shared.traces_, traces_in_parts(indexed, scope));
        if (which == Which::kWithEqualSpans) {
            TRY_ASSIGN(shared.traces_, with_equal_spans(chosen, std::move(shared.traces_), scope));
        }
    }
    shared.index();
    return shared;
}

void SharedTraces::index() {
    by_segment_.resize(segments_.size());
    for (const Trace& trace : traces_) {
        for (const Part& part : trace.parts)
            by_segment_[part.segment].push_back(part.fragment);
    }
    for (auto& fragments : by_segment_)
        std::sort(fragments.begin(), fragments.end(),
                  [](const auto& a, const auto& b) { return a.first_row < b.first_row; });
}

std::span<const TraceFragment> SharedTraces::in(const Segment& segment) const {
    for (size_t i = 0; i < segments_.size(); ++i) {
        if (segments_[i] == &segment) return by_segment_[i];
    }
    return {};
}

Result<std::shared_ptr<const SharedTraces>> SharedTraceCache::find(store::Segments segments,
                                                                   const store::ScanScope& scope,
                                                                   SharedTraces::Which which) {
    constexpr size_t kEntriesMax = 4;
    constexpr size_t kTracesMax = 200'000;  // about 200 bytes each
    const auto chosen = near(segments, scope.range);
    const auto is_same = [&](const Entry& entry) {
        return entry.which == which &&
               std::equal(chosen.begin(), chosen.end(), entry.segments.begin(),
                          entry.segments.end(), [](const auto& a, const auto& b) {
                              return !a.owner_before(b) && !b.owner_before(a);
                          });
    };
    {
        const std::lock_guard lock(mutex_);
        const auto known = std::find_if(entries_.begin(), entries_.end(), is_same);
        if (known != entries_.end()) {
            std::rotate(entries_.begin(), known, known + 1);
            return entries_.front().traces;
        }
    }
    TRY_ASSIGN(SharedTraces found, SharedTraces::find(segments, scope, which));
    auto traces = std::make_shared<const SharedTraces>(std::move(found));
    if (traces->traces().size() > kTracesMax) return traces;
    const std::lock_guard lock(mutex_);
    entries_.insert(entries_.begin(), {{chosen.begin(), chosen.end()}, which, traces});
    if (entries_.size() > kEntriesMax) entries_.pop_back();
    return traces;
}

}  // namespace spanloom::traceql
