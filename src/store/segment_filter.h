#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/field.h"

// Which (field, value) pairs a segment holds, as a split-block Bloom filter cut into pages that are
// read one by one (docs/format/segment.md, "Filter").
namespace spanloom::store {

constexpr size_t kFilterPageBytes = 4096;

// Seeds, one per field and kind of value: hash of the key, the scope and the kind together.
uint64_t filter_seed(Scope scope, Intrinsic intrinsic, std::string_view key, ValueKind kind);
constexpr uint64_t filter_hash(uint64_t seed, uint64_t value_hash) {
    uint64_t mixed = (seed ^ value_hash) * 0x9e3779b97f4a7c15U;
    mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93U;
    return mixed ^ (mixed >> 29);
}
// Integers and booleans stand for themselves; texts are hashed by XXH3.
constexpr uint64_t filter_integer_hash(int64_t value) {
    return static_cast<uint64_t>(value) * 0xff51afd7ed558ccdU;
}

// Sentences (statements, messages, names of browsers) are looked for by pieces of them, and many of
// them are there once: attributes with such texts are not among the pairs.
inline bool has_place(std::string_view text) {
    return text.find(' ') == std::string_view::npos;
}

// Collects hashes; most repetitions fall out on the way.
class FilterBuilder {
  public:
    FilterBuilder();
    void add(uint64_t hash) {
        uint64_t& recent = recent_[hash >> (64 - kRecentBits)];
        if (recent == hash) return;
        recent = hash;
        hashes_.push_back(hash);
    }
    // A whole number of pages, empty where nothing was added.
    std::string build() const;
    size_t memory_bytes() const { return hashes_.capacity() * 8 + recent_.size() * 8; }

  private:
    static constexpr uint32_t kRecentBits = 14;

    std::vector<uint64_t> recent_;
    std::vector<uint64_t> hashes_;
};

// Where a hash lies in a filter of `pages` pages.
struct FilterPlace {
    uint32_t page = 0;
    uint32_t block = 0;  // of the page
};
FilterPlace filter_place(uint64_t hash, uint32_t pages);
bool filter_page_may_contain(std::string_view page, FilterPlace place, uint64_t hash);

}  // namespace spanloom::store
