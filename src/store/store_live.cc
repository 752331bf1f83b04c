#include "store/store_live.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "store/hiding_segment.h"

namespace spanloom::store {
namespace {

void hide_in(LiveSegment& live, const TraceIds& hidden, const RollupFunction& rollup) {
    live.visible = nullptr;
    const auto is_hidden = [&](const TraceId& id) { return hidden.contains(id); };
    Result<std::shared_ptr<const Segment>> view = hide_traces(live.segment, is_hidden, rollup);
    if (!view) {
        log::error("{} is not shown: which of its traces were deleted cannot be told: {}",
                   live.path.empty() ? "a segment in memory" : live.path, view.error().message);
        live.has_hidden = true;
        return;
    }
    live.has_hidden = *view != live.segment;
    if ((*view)->info().spans > 0) live.visible = std::move(*view);
}

// Looking up each is cheaper than walking all traces, where they are few.
bool may_hold_any(const Segment& segment, const std::vector<TraceId>& ids) {
    constexpr size_t kLookupCost = 16;  // of walking one fragment
    if (ids.size() * kLookupCost > segment.fragment_count()) return true;
    return std::any_of(ids.begin(), ids.end(), [&](const TraceId& id) {
        const auto found = segment.find(id);
        return !found || *found;
    });
}

}  // namespace

std::vector<std::shared_ptr<const Segment>> LiveSegments::snapshot(std::string_view tenant) const {
    std::vector<std::shared_ptr<const Segment>> segments;
    std::lock_guard lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return segments;
    segments.reserve(found->second.size());
    for (const Pointer& one : found->second) {
        if (one->visible != nullptr) segments.push_back(one->visible);
    }
    return segments;
}

void LiveSegments::replace(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come) {
    std::lock_guard lock(hide_mutex_);
    for (LiveSegment& one : come) {
        one.visible = one.segment;
        if (const auto hidden = deletions_.hidden(one.tenant)) hide_in(one, *hidden, rollup_);
    }
    publish(gone, std::move(come));
}

void LiveSegments::hide(std::string_view tenant, const std::vector<TraceId>& ids) {
    std::lock_guard hide_lock(hide_mutex_);
    const auto hidden = deletions_.hidden(tenant);
    if (hidden == nullptr) return;
    std::unordered_map<uint64_t, Pointer> changed;
    for (const Pointer& one : all()) {
        if (one->tenant != tenant || !may_hold_any(*one->segment, ids)) continue;
        LiveSegment copy = *one;
        hide_in(copy, *hidden, rollup_);
        changed[one->serial] = std::make_shared<const LiveSegment>(std::move(copy));
    }
    std::lock_guard lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return;
    for (Pointer& one : found->second) {
        const auto at = changed.find(one->serial);
        if (at == changed.end()) continue;
        // Damage that was found meanwhile stays known.
        if (one->is_damaged && !at->second->is_damaged) {
            LiveSegment copy = *at->second;
            copy.is_damaged = true;
            at->second = std::make_shared<const LiveSegment>(std::move(copy));
        }
        std::swap(one, at->second);
    }
    count();
}

void LiveSegments::publish(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come) {
    // What goes may be freed here, but not under the lock.
    std::vector<Pointer> freed;
    std::lock_guard lock(mutex_);
    for (auto& [tenant, segments] : tenants_) {
        const auto kept =
            std::stable_partition(segments.begin(), segments.end(), [&](const Pointer& one) {
                return std::find(gone.begin(), gone.end(), one->serial) == gone.end();
            });
        std::move(kept, segments.end(), std::back_inserter(freed));
        segments.erase(kept, segments.end());
    }
    std::erase_if(tenants_, [](const auto& tenant) { return tenant.second.empty(); });
    for (LiveSegment& one : come) {
        one.serial = next_serial_++;
        std::vector<Pointer>& segments = tenants_[one.tenant];
        auto pointer = std::make_shared<const LiveSegment>(std::move(one));
        const auto place = std::upper_bound(
            segments.begin(), segments.end(), pointer, [](const Pointer& a, const Pointer& b) {
                return a->segment->info().arrival_ns_max < b->segment->info().arrival_ns_max;
            });
        segments.insert(place, std::move(pointer));
    }
    count();
}

void LiveSegments::count() {
    LiveTotals totals;
    for (const auto& [tenant, segments] : tenants_) {
        for (const Pointer& one : segments) {
            const SegmentInfo& info = one->segment->info();
            if (one->visible != nullptr) totals.spans += one->visible->info().spans;
            totals.segments += 1;
            if (totals.oldest_arrival_ns == 0 || info.arrival_ns_min < totals.oldest_arrival_ns)
                totals.oldest_arrival_ns = info.arrival_ns_min;
            (one->id == 0 ? totals.memory_bytes : totals.index_bytes) += one->memory_bytes;
            if (one->has_hidden) {
                totals.hiding += 1;
                if (one->id == 0) totals.hiding_in_memory += 1;
            }
            if (one->id != 0) {
                totals.disk_bytes += info.bytes;
                if (one->kept) totals.kept_bytes += info.bytes;
                continue;
            }
            totals.segments_in_memory += 1;
            if (totals.oldest_in_memory_ns == 0 ||
                one->since_monotonic_ns < totals.oldest_in_memory_ns)
                totals.oldest_in_memory_ns = one->since_monotonic_ns;
        }
    }
    totals_ = totals;
}

void LiveSegments::mark_damaged(uint64_t serial) {
    std::lock_guard lock(mutex_);
    for (auto& [tenant, segments] : tenants_) {
        for (Pointer& one : segments) {
            if (one->serial != serial) continue;
            LiveSegment copy = *one;
            copy.is_damaged = true;
            one = std::make_shared<const LiveSegment>(std::move(copy));
        }
    }
}

bool LiveSegments::is_hiding(std::string_view tenant) const {
    std::lock_guard lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return false;
    return std::any_of(found->second.begin(), found->second.end(),
                       [](const Pointer& one) { return one->has_hidden; });
}

std::vector<LiveSegments::Pointer> LiveSegments::all() const {
    std::vector<Pointer> found;
    std::lock_guard lock(mutex_);
    for (const auto& [tenant, segments] : tenants_)
        found.insert(found.end(), segments.begin(), segments.end());
    return found;
}

std::vector<LiveSegments::Pointer> LiveSegments::in_memory() const {
    std::vector<Pointer> found = all();
    std::erase_if(found, [](const Pointer& one) { return one->id != 0; });
    return found;
}

std::vector<LiveSegments::Pointer> LiveSegments::on_disk() const {
    std::vector<Pointer> found = all();
    std::erase_if(found, [](const Pointer& one) { return one->id == 0; });
    return found;
}

LiveTotals LiveSegments::totals() const {
    std::lock_guard lock(mutex_);
    return totals_;
}

void ObsoleteFiles::add(std::string path, std::shared_ptr<const void> reader) {
    files_.push_back({std::move(path), std::move(reader)});
}

size_t ObsoleteFiles::collect(Io& io) {
    size_t failed = 0;
    std::vector<File> kept;
    for (File& file : files_) {
        const bool is_read = file.reader != nullptr && file.reader.use_count() > 1;
        if (is_read) {
            kept.push_back(std::move(file));
            continue;
        }
        file.reader.reset();
        const Result<void> removed = io.remove(file.path);
        if (removed || removed.error().code == ErrorCode::kNotFound) continue;
        ++failed;
        kept.push_back(std::move(file));
    }
    files_ = std::move(kept);
    return failed;
}

}  // namespace spanloom::store
