#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace spanloom::store {

// Decoded pieces of segments (dictionaries, indexes, parts of tables) that all queries share, so
// many bytes of them at most: what has not been asked for lately goes. Whoever holds a piece keeps
// it, cached or not. Thread-safe; shared by the segments that use it.
class SegmentCache {
  public:
    enum class Piece : uint8_t {
        kFragments,
        kTraceIndex,
        kThresholds,
        kDelays,
        kDictionary,
        kPatterns,
        kOrders,
        kOrderCodes,
        kOrderRows,
        kFollowKeys,
        kFollowers,
        kModels,
        kScopes,
        kNames,
        kLinks,
        kPlaces,
        kValueCounts,
    };
    struct Key {
        uint64_t segment = 0;  // of new_segment()
        Piece piece = Piece::kFragments;
        uint64_t number = 0;
        bool operator==(const Key&) const = default;
    };

    explicit SegmentCache(size_t bytes_max);

    uint64_t new_segment() { return ++segments_; }
    // nullptr: it is not there.
    std::shared_ptr<const void> find(const Key& key);
    // Only looks: neither counted nor a reason to keep the piece longer.
    bool has(const Key& key);
    // Gives the one that is kept: where another thread was faster, that one's.
    std::shared_ptr<const void> keep(const Key& key, std::shared_ptr<const void> piece,
                                     size_t bytes);
    // Everything of one segment, which is gone.
    void forget(uint64_t segment);

    size_t bytes() const { return bytes_; }
    size_t bytes_max() const { return bytes_max_; }
    uint64_t hits() const { return hits_; }
    uint64_t misses() const { return misses_; }

  private:
    struct KeyHash {
        using is_avalanching = void;
        size_t operator()(const Key& key) const;
    };
    struct Entry {
        Key key;
        std::shared_ptr<const void> piece;
        size_t bytes = 0;
        bool is_wanted = false;  // asked for since the hand came by
    };
    // Under a lock of its own, with its part of the bytes.
    struct Shard {
        std::mutex mutex;
        boost::unordered_flat_map<Key, size_t, KeyHash> places;  // in entries
        std::vector<Entry> entries;
        size_t hand = 0;
        size_t bytes = 0;
    };

    Shard& shard_of(const Key& key) { return *shards_[KeyHash()(key) % shards_.size()]; }
    void remove(Shard& shard, size_t place);
    void make_room(Shard& shard, size_t bytes);

    const size_t bytes_max_;
    std::vector<std::unique_ptr<Shard>> shards_;
    std::atomic<uint64_t> segments_ = 0;
    std::atomic<size_t> bytes_ = 0;
    std::atomic<uint64_t> hits_ = 0;
    std::atomic<uint64_t> misses_ = 0;
};

}  // namespace spanloom::store
