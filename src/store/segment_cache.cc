#include "store/segment_cache.h"

#include <algorithm>
#include <utility>

namespace spanloom::store {
namespace {

constexpr size_t kShardsMax = 8;
constexpr size_t kShardBytesMin = 16U << 20;  // a large piece must fit several times
constexpr size_t kEntryBytes = 160;           // what an entry takes beside its piece, about

}  // namespace

size_t SegmentCache::KeyHash::operator()(const Key& key) const {
    uint64_t hash = key.segment * 0x9e3779b97f4a7c15U;
    hash ^= (key.number << 5 | static_cast<uint64_t>(key.piece)) * 0xc2b2ae3d27d4eb4fU;
    hash ^= hash >> 29;
    hash *= 0x9e3779b97f4a7c15U;
    return hash ^ hash >> 32;
}

SegmentCache::SegmentCache(size_t bytes_max) : bytes_max_(bytes_max) {
    const size_t shards = std::clamp<size_t>(bytes_max / kShardBytesMin, 1, kShardsMax);
    for (size_t i = 0; i < shards; ++i)
        shards_.push_back(std::make_unique<Shard>());
}

std::shared_ptr<const void> SegmentCache::find(const Key& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.places.find(key);
    if (at == shard.places.end()) {
        misses_.fetch_add(1, std::memory_order_relaxed);
        return nullptr;
    }
    hits_.fetch_add(1, std::memory_order_relaxed);
    Entry& entry = shard.entries[at->second];
    entry.is_wanted = true;
    return entry.piece;
}

bool SegmentCache::has(const Key& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    return shard.places.contains(key);
}

std::shared_ptr<const void> SegmentCache::keep(const Key& key, std::shared_ptr<const void> piece,
                                               size_t bytes) {
    bytes += kEntryBytes;
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    if (const auto at = shard.places.find(key); at != shard.places.end())
        return shard.entries[at->second].piece;
    // One piece must not push out all others.
    if (bytes > bytes_max_ / shards_.size() / 2) return piece;
    make_room(shard, bytes);
    shard.places.emplace(key, shard.entries.size());
    shard.entries.push_back({key, piece, bytes, false});
    shard.bytes += bytes;
    bytes_ += bytes;
    return piece;
}

// The hand goes round; what was asked for since it came by last stays once more.
void SegmentCache::make_room(Shard& shard, size_t bytes) {
    while (!shard.entries.empty() && shard.bytes + bytes > bytes_max_ / shards_.size()) {
        if (shard.hand >= shard.entries.size()) shard.hand = 0;
        Entry& entry = shard.entries[shard.hand];
        if (std::exchange(entry.is_wanted, false)) {
            ++shard.hand;
        } else {
            // The newest one comes to its place, and has its turn when the hand is here again.
            remove(shard, shard.hand++);
        }
    }
}

void SegmentCache::remove(Shard& shard, size_t place) {
    Entry& entry = shard.entries[place];
    shard.bytes -= entry.bytes;
    bytes_ -= entry.bytes;
    shard.places.erase(entry.key);
    if (place + 1 < shard.entries.size()) {
        entry = std::move(shard.entries.back());
        shard.places[entry.key] = place;
    }
    shard.entries.pop_back();
}

void SegmentCache::forget(uint64_t segment) {
    for (const auto& shard : shards_) {
        const std::lock_guard lock(shard->mutex);
        for (size_t place = 0; place < shard->entries.size();) {
            if (shard->entries[place].key.segment == segment) {
                remove(*shard, place);
            } else {
                ++place;
            }
        }
    }
}

}  // namespace spanloom::store
