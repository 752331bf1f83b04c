#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

    explicit ResendWindow(uint64_t seed);
    // False: it was there. Otherwise it is now.
    bool insert(uint64_t place, uint64_t mark);
    // Asks for the memory that an insert at this place will look at.
    void foresee(uint64_t place) const {
        __builtin_prefetch(&now_[place % kSlots]);
        __builtin_prefetch(&before_[place % kSlots]);
    }
    uint64_t seed() const { return seed_; }

  private:
    static constexpr size_t kProbes = 8;
    static constexpr size_t kFullAt = kSlots / 4 * 3;
    using Generation = std::unique_ptr<uint64_t[], void (*)(void*)>;
    static Generation make_generation();
    static bool has(const Generation& generation, uint64_t place, uint64_t mark);

    uint64_t seed_;
    Generation now_;
    Generation before_;
    size_t count_ = 0;
};

// A segment in memory that was just sealed.
struct SealedHead {
    std::string tenant;
    uint64_t hour = 0;
    std::shared_ptr<const Segment> segment;
};

// The segments being filled: one for each tenant and hour of arrival. One thread at a time.
class Heads {
  public:
    Heads(SegmentOptions options, uint32_t seal_spans, uint64_t seed);

    // Adds the spans that are not resends; what is returned are those that are.
    size_t add(const Batch& batch);
    bool empty() const { return heads_.empty(); }
    bool has_full() const { return has_full_; }
    size_t memory_bytes() const;
    // Those with seal_spans or more, or all.
    Result<void> seal_full(std::vector<SealedHead>& sealed);
    Result<void> seal_all(std::vector<SealedHead>& sealed);

  private:
    // Tenants and hours that are filled at once; beyond it all are sealed (a clock that jumps, or
    // very many tenants, must not hold memory).
    static constexpr size_t kHeadsMax = 64;
    using Key = std::pair<std::string, uint64_t>;

    Result<void> seal_one(const Key& key, SegmentBuilder& builder, std::vector<SealedHead>& sealed);

    SegmentOptions options_;
    uint32_t seal_spans_;
    ResendWindow window_;
    std::map<Key, SegmentBuilder> heads_;
    std::optional<SegmentBuilder> spare_;  // empty, with the memory of the last full one
    bool has_full_ = false;
    struct Mark {
        uint64_t place;
        uint64_t mark;
    };
    std::vector<uint64_t> scope_seeds_;  // of one batch
    std::vector<Mark> marks_;
    std::vector<uint32_t> fresh_;
};

}  // namespace spanloom::store
