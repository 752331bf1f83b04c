#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Columns whose value mostly follows from what a span is: its name, and the family of its scope
// (service and instrumentation). A server's route, a client's port, a statement's pattern
// (docs/format/segment.md, "Followers"). What is seen first is written once; a block then only says
// where its rows differ.
namespace spanloom::store {

constexpr uint8_t kFollowsForm = 5;  // of integers, in blocks of followers

// Values follow from keys: numbers of (family, name) pairs. Of every row of what is asked for often
// they lie in the cache, so they are short.
using FollowKey = uint16_t;
constexpr FollowKey kNoKey = UINT16_MAX;

// What a column's values are, by key.
struct FollowedValues {
    std::vector<uint8_t> is_known;  // 0, 1
    std::vector<int64_t> values;

    // False where one is not known.
    bool look_up(std::span<const FollowKey> keys, int64_t* out) const;
};

// What may follow: the values of a column, or the numbers of its texts' patterns.
constexpr uint32_t follower_of(uint32_t column, bool is_pattern) {
    return column * 2 + (is_pattern ? 1 : 0);
}

// Scopes of one service and instrumentation are a family, whatever instance they come from.
std::string scope_family(std::string_view resource_message, std::string_view scope_message);

// The writer's side. Which followers there are is learnt from the first block of each. One thread.
class FollowerTable {
  public:
    // kNoKey once there are too many.
    FollowKey key_of(uint32_t family, uint32_t name);
    // False once it is known not to.
    bool may_follow(uint32_t follower) const {
        return follower >= followers_.size() || followers_[follower].state != State::kNot;
    }
    // Appends a block's body; false, and nothing, where too many values differ.
    // Values that are all equal follow only where asked for: they are as short without.
    bool encode(uint32_t follower, std::span<const FollowKey> keys, std::span<const int64_t> values,
                bool even_equal, int zstd_level, std::string& out);
    // What a reader needs; empty where no block followed.
    std::string directory(int zstd_level) const;

  private:
    enum class State : uint8_t { kUnknown, kFollows, kNot };
    struct Follower {
        State state = State::kUnknown;
        bool is_used = false;
        uint8_t failures = 0;  // in a row
        FollowedValues followed;
    };

    void learn(Follower& follower, std::span<const FollowKey> keys,
               std::span<const int64_t> values);

    struct Pair {
        uint32_t family;
        uint32_t name;
    };
    std::vector<Pair> pairs_;                   // by key
    std::vector<std::vector<FollowKey>> keys_;  // by family and name
    std::vector<Follower> followers_;           // by follower_of
    std::vector<int64_t> gaps_;
    std::vector<int64_t> others_;
};

// The reader's side. Immutable; any thread.
class FollowerDirectory {
  public:
    // Of a segment of this version with so many columns.
    static Result<FollowerDirectory> parse(std::string_view bytes, uint32_t columns,
                                           uint32_t version);
    // Whether keys need families: before version 3 they are the names.
    bool has_families() const { return has_families_; }
    FollowKey key(uint32_t family, uint32_t name) const {
        if (!has_families_) return name < kNoKey ? static_cast<FollowKey>(name) : kNoKey;
        return family < keys_.size() && name < keys_[family].size() ? keys_[family][name] : kNoKey;
    }
    // The values of a block whose body (after the form) is given; keys by value.
    Result<void> decode(uint32_t follower, std::string_view body, std::span<const FollowKey> keys,
                        std::vector<int64_t>& out) const;
    // Those of the block's `count` values that are at these places, ascending, with their keys.
    Result<void> decode_at(uint32_t follower, std::string_view body, size_t count,
                           std::span<const uint32_t> places, std::span<const FollowKey> keys,
                           std::vector<int64_t>& out) const;
    size_t memory_bytes() const;

  private:
    bool has_families_ = false;
    std::vector<std::vector<FollowKey>> keys_;  // by family and name
    std::vector<FollowedValues> followers_;
};

}  // namespace spanloom::store
