#include "store/store_live.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace spanloom::store {

std::vector<std::shared_ptr<const Segment>> LiveSegments::snapshot(std::string_view tenant) const {
    std::vector<std::shared_ptr<const Segment>> segments;
    std::lock_guard lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return segments;
    segments.reserve(found->second.size());
    for (const Pointer& one : found->second)
        segments.push_back(one->segment);
    return segments;
}

void LiveSegments::replace(const std::vector<uint64_t>& gone, std::vector<LiveSegment> come) {
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
    LiveTotals totals;
    for (const auto& [tenant, segments] : tenants_) {
        for (const Pointer& one : segments) {
            const SegmentInfo& info = one->segment->info();
            totals.spans += info.spans;
            totals.segments += 1;
            if (totals.oldest_arrival_ns == 0 || info.arrival_ns_min < totals.oldest_arrival_ns)
                totals.oldest_arrival_ns = info.arrival_ns_min;
            totals.memory_bytes += one->memory_bytes;
            if (one->id != 0) {
                totals.disk_bytes += info.bytes;
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

void ObsoleteFiles::add(std::string path, std::shared_ptr<const Segment> segment) {
    files_.push_back({std::move(path), std::move(segment)});
}

size_t ObsoleteFiles::collect(Io& io) {
    size_t failed = 0;
    std::vector<File> kept;
    for (File& file : files_) {
        const bool is_read = file.segment != nullptr && file.segment.use_count() > 1;
        if (is_read) {
            kept.push_back(std::move(file));
            continue;
        }
        file.segment.reset();
        const Result<void> removed = io.remove(file.path);
        if (removed || removed.error().code == ErrorCode::kNotFound) continue;
        ++failed;
        kept.push_back(std::move(file));
    }
    files_ = std::move(kept);
    return failed;
}

}  // namespace spanloom::store
