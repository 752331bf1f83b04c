#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rollup/duration_histogram.h"
#include "rollup/rollup_section.h"

// Sections as they are kept in memory while questions are asked.
namespace spanloom {

// One section, decoded: its cells in a few bytes each, one group after the other, where a group is
// what one operation did in the steps whose durations are known together. Durations are kept once a
// group; a question that needs single steps has them shared out. Immutable once packed; any thread.
class PackedRollup : public RollupFacts {
  public:
    bool empty() const { return cells_ == 0; }
    uint64_t cells() const { return cells_; }
    size_t memory_bytes() const;

  private:
    friend class RollupPacker;
    friend class PackedGroups;

    std::string bytes_;
    uint64_t cells_ = 0;
};

// Packs groups in their order. One thread.
class RollupPacker {
  public:
    explicit RollupPacker(PackedRollup& to) : to_(to) {}

    // Cells of one operation, and the durations of all their spans together, ascending.
    void add(std::span<const RollupCell> cells, std::span<const BucketCount> durations);
    // Behind the last one.
    void finish() { to_.bytes_.shrink_to_fit(); }

  private:
    void write_cells(std::span<const RollupCell> cells, uint8_t flags);
    void write_durations(std::span<const BucketCount> durations);

    PackedRollup& to_;
    std::string durations_;
    uint32_t operation_ = 0;
    uint32_t step_ = 0;
};

// Reads a packed section group by group. What it shows stays until it shows the next
// one. The section outlives it. One thread.
class PackedGroups {
  public:
    explicit PackedGroups(const PackedRollup& from);

    // To the next group, at first to the first one; false behind the last.
    bool next();
    // One or more, ascending by step; their buckets are said by durations().
    std::span<const RollupCell> cells() const { return cells_; }
    uint32_t operation() const { return operation_; }
    // Of all spans of the group.
    std::span<const BucketCount> durations();
    // Of those of one cell: its share. Of the first cell first, then the next.
    std::span<const BucketCount> durations_of(size_t cell);
    // Of all those of this cell and later ones; after durations_of() the ones before.
    std::span<const BucketCount> durations_from(size_t cell);

    // Calls add(place, durations), where to_place(cell) says whose durations go where, and
    // `kNowhere` which are left out. All at once where all go to one place.
    template <typename Place, typename ToPlace, typename Add>
    void each_durations(const Place& nowhere, const ToPlace& to_place, const Add& add) {
        const Place first = to_place(cells_.front());
        bool is_one = true;
        for (size_t i = 1; i < cells_.size() && is_one; ++i)
            is_one = to_place(cells_[i]) == first;
        if (is_one) {
            if (first != nowhere) add(first, durations());
            return;
        }
        for (size_t i = 0; i < cells_.size(); ++i) {
            const Place place = to_place(cells_[i]);
            if (place != nowhere) add(place, durations_of(i));
        }
    }

  private:
    uint64_t varint();
    double number();
    void read_cells(uint8_t flags, size_t count);
    void start_sharing();
    void share_out(const RollupCell& cell);

    const PackedRollup& section_;
    const char* at_;
    const char* end_;
    uint32_t operation_ = 0;
    uint32_t step_ = 0;
    std::vector<RollupCell> cells_;
    std::string_view packed_durations_;  // until they are asked for
    std::vector<BucketCount> durations_;
    // What was shared out: to how many cells, to the last one, and what is left for later ones.
    size_t shared_ = 0;
    std::vector<BucketCount> share_;
    std::vector<BucketCount> left_;
    uint64_t spans_left_ = 0;
};

// kDataLoss for bytes that are not a whole section, kUnsupported for a newer version. How long its
// steps are is known to who keeps the bytes.
Result<PackedRollup> decode_rollup(std::string_view bytes, uint32_t step_s = kMinuteStepS);

PackedRollup pack(const RollupSection& section);
// The same counts in steps of so many seconds, a multiple of the section's.
PackedRollup in_longer_steps(const PackedRollup& section, uint32_t step_s);
// With every cell's share of durations.
RollupSection unpack(const PackedRollup& packed);

}  // namespace spanloom
