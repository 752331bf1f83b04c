#include "api/trace_cache.h"

#include <utility>

namespace spanloom::api {

std::shared_ptr<const CachedTrace> TraceCache::find(const TraceId& id, uint64_t version,
                                                    uint64_t now_ns) {
    std::lock_guard lock(mutex_);
    if (large_.trace && large_.id == id && large_.trace->version == version) {
        large_used_ns_ = now_ns;
        return large_.trace;
    }
    forget_unused_locked(now_ns);
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return nullptr;
    if (found->second->trace->version != version) {
        drop(found->second);
        return nullptr;
    }
    newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
    return found->second->trace;
}

void TraceCache::put(const TraceId& id, std::shared_ptr<const CachedTrace> trace, uint64_t now_ns) {
    std::lock_guard lock(mutex_);
    if (const auto found = by_id_.find(id); found != by_id_.end()) drop(found->second);
    if (trace->memory_bytes > bytes_max_) {
        if (trace->memory_bytes > large_bytes_max_) return;
        large_ = {id, std::move(trace)};
        large_used_ns_ = now_ns;
        return;
    }
    bytes_ += trace->memory_bytes;
    newest_first_.push_front({id, std::move(trace)});
    by_id_[id] = newest_first_.begin();
    while (bytes_ > bytes_max_)
        drop(std::prev(newest_first_.end()));
}

void TraceCache::forget_unused(uint64_t now_ns) {
    std::lock_guard lock(mutex_);
    forget_unused_locked(now_ns);
}

void TraceCache::forget_unused_locked(uint64_t now_ns) {
    if (large_.trace && now_ns > large_used_ns_ + kLargeKeptNs) large_ = {};
}

size_t TraceCache::bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_ + (large_.trace ? large_.trace->memory_bytes : 0);
}

void TraceCache::drop(std::list<Entry>::iterator entry) {
    bytes_ -= entry->trace->memory_bytes;
    by_id_.erase(entry->id);
    newest_first_.erase(entry);
}

}  // namespace spanloom::api
