#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "otlp/batch.h"
#include "store/segment.h"

namespace spanloom::store {

// Remembers the hashes of the newest spans, so that what is sent again is not counted again.
// Holds between one and two generations; forgetting only means that reading and merging resolve
// the equal spans later. One thread.
class ResendWindow {
  public:
    static constexpr size_t kSlots = 1 << 19;  // a generation: 4 MiB, touched as it fills

    // Of one of `shards` that share the memory.
    explicit ResendWindow(uint64_t seed, uint32_t shards = 1);
    // False: it was there. Otherwise it is now.
    bool insert(uint64_t place, uint64_t mark);
    // Asks for the memory that an insert at this place will look at.
    void foresee(uint64_t place) const {
        __builtin_prefetch(&now_[place & mask_]);
        __builtin_prefetch(&before_[place & mask_]);
    }
    uint64_t seed() const { return seed_; }

  private:
    static constexpr size_t kProbes = 8;
    using Generation = std::unique_ptr<uint64_t[], void (*)(void*)>;
    Generation make_generation() const;
    bool has(const Generation& generation, uint64_t place, uint64_t mark) const;

    uint64_t seed_;
    uint64_t mask_;  // slots - 1
    Generation now_;
    Generation before_;
    size_t count_ = 0;
};

// A segment in memory that was just sealed.
struct SealedHead {
    std::string tenant;
    uint64_t hour = 0;
    std::shared_ptr<const Segment> segment;
    Blob image = {};  // where it goes to the disk as it is
};

// A head as it is, to become a segment on disk without being one in memory before.
struct FilledHead {
    std::string tenant;
    uint64_t hour = 0;
    SegmentBuilder rows;
};

// Which traces are whose, where heads share them out.
struct HeadShare {
    uint32_t index = 0;
    uint32_t count = 1;

    bool has(const TraceId& id) const { return count == 1 || hash64(id.view()) % count == index; }
};

// The segments being filled: one for each tenant and hour of arrival. One thread at a time.
class Heads {
  public:
    // Sealed segments share `cache`.
    Heads(SegmentOptions options, uint32_t seal_spans, uint64_t seed, HeadShare share = {},
          std::shared_ptr<SegmentCache> cache = nullptr);

    // Adds the spans of its share that are not resends; what is returned are those that are.
    size_t add(const Batch& batch);
    bool empty() const { return heads_.empty(); }
    bool has_full() const { return has_full_; }
    bool has_too_many() const { return heads_.size() > kHeadsMax; }
    size_t memory_bytes() const;
    // Those with seal_spans or more, or all.
    Result<void> seal_full(std::vector<SealedHead>& sealed);
    Result<void> seal_all(std::vector<SealedHead>& sealed);
    // All: those with so many spans as they are, where these are of usual size, the others sealed.
    Result<void> hand_over(uint32_t spans_min, std::vector<FilledHead>& filled,
                           std::vector<SealedHead>& sealed);
    size_t spans() const;
    size_t used_bytes() const;  // without the memory that is there for later spans
    // A merge takes care of row groups with very large texts.
    static bool is_usual(size_t spans, size_t used_bytes) {
        constexpr size_t kSpanBytesMax = 4096;
        return used_bytes / kSpanBytesMax <= spans;
    }
    // An empty builder, whose memory the next head takes.
    void give_spare(SegmentBuilder spare) { spare_ = std::move(spare); }
    void free_spare() { spare_.reset(); }

  private:
    // Tenants and hours that are filled at once; beyond it all are sealed (a clock that jumps, or
    // very many tenants, must not hold memory).
    static constexpr size_t kHeadsMax = 64;
    using Key = std::pair<std::string, uint64_t>;

    Result<void> seal_one(const Key& key, SegmentBuilder& builder, std::vector<SealedHead>& sealed);

    SegmentOptions options_;
    uint32_t seal_spans_;
    HeadShare share_;
    std::shared_ptr<SegmentCache> cache_;
    ResendWindow window_;
    std::map<Key, SegmentBuilder> heads_;
    std::optional<SegmentBuilder> spare_;  // empty, with the memory of the last full one
    bool has_full_ = false;
    struct Mark {
        uint64_t place;
        uint64_t mark;
        uint32_t span;
    };
    std::vector<uint64_t> scope_seeds_;  // of one batch
    std::vector<Mark> marks_;
    std::vector<uint32_t> fresh_;
};

}  // namespace spanloom::store
