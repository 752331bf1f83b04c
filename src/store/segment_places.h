#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Where in a segment the (field, value) pairs are: a static map from the pair's hash to the row
// group that holds it (docs/format/segment.md, "Places"). It is made of binary fuse tables, each
// for a share of the pairs, and answers wrongly that a pair is there with a small probability,
// never that it is not.
namespace spanloom::store {

constexpr size_t kPlacePageBytes = 4096;

// What is known of one pair.
struct PairPlace {
    enum class Kind : uint8_t { kNowhere, kGroup, kAnywhere };
    Kind kind = Kind::kAnywhere;
    uint32_t group = 0;  // kGroup: the only one that may have it
};

// What is known of a value that a search looks for.
struct ValuePlaces {
    bool is_anywhere = false;
    std::vector<uint32_t> groups;  // else: the row groups that may have it, in no order

    void add(PairPlace place) {
        if (place.kind == PairPlace::Kind::kAnywhere) is_anywhere = true;
        if (place.kind == PairPlace::Kind::kGroup) groups.push_back(place.group);
    }
    bool is_nowhere() const { return !is_anywhere && groups.empty(); }
};

// Collects pairs while row groups are written.
class PlacesBuilder {
  public:
    static constexpr uint32_t kSeveral = UINT32_MAX;  // more groups than one

    PlacesBuilder();
    void add(uint64_t hash, uint32_t group) {
        const uint64_t entry = (hash & kHashMask) | (group < kGroupsMax ? group : kGroupsMax);
        uint64_t& recent = recent_[hash >> (64 - kRecentBits)];
        if (recent == entry) return;
        recent = entry;
        entries_.push_back(entry);
    }

    struct Built {
        std::string cells;      // in pages
        std::string directory;  // of the tables
        uint64_t pairs = 0;
    };
    // `groups` is how many row groups the segment has. The builder is empty afterwards.
    Built build(uint32_t groups);
    size_t memory_bytes() const { return (entries_.capacity() + recent_.size()) * 8; }

  private:
    static constexpr uint32_t kRecentBits = 14;
    static constexpr uint64_t kHashMask = ~uint64_t{0xffff};
    static constexpr uint32_t kGroupsMax = 0xffff;  // this and beyond: several

    void forget_recent();
    void sort_entries();
    void join_equal();

    std::vector<uint64_t> recent_;
    std::vector<uint64_t> entries_;  // 48 bits of the hash, 16 of the group
};

// The directory of a segment's tables, read once. Immutable; any thread.
class PlacesDirectory {
  public:
    // Cells whose values together tell of one pair.
    struct Probe {
        bool has_table = false;
        std::array<uint64_t, 3> bits{};  // where they begin among all cells
        uint32_t fingerprint = 0;
    };

    // kDataLoss where it does not fit `pages` pages of cells.
    static Result<PlacesDirectory> parse(std::string_view bytes, uint32_t pages);
    Probe probe(uint64_t hash) const;
    PairPlace place(const Probe& probe, const std::array<uint32_t, 3>& cells) const;
    uint32_t cell_bits() const { return cell_bits_; }
    size_t memory_bytes() const { return tables_.capacity() * sizeof(Table); }

  private:
    struct Table {
        uint64_t first_cell = 0;
        uint64_t seed = 0;
        uint32_t segments = 0;  // 0: none, every pair may be anywhere
        uint32_t segment_bits = 0;
    };

    std::vector<Table> tables_;
    uint32_t cell_bits_ = 8;
    uint32_t groups_ = 0;
};

}  // namespace spanloom::store
