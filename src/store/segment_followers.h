#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Columns whose value mostly follows from the name of the span: a server's route, a client's port,
// the kind (docs/format/segment.md, "Followers"). What the first row group shows is written once; a
// block then only says where its rows differ.
namespace spanloom::store {

constexpr uint8_t kFollowsForm = 5;  // of integers, in blocks of followers

// What a column's values are, by code of the span's name.
struct FollowedValues {
    std::vector<uint8_t> is_known;  // 0, 1
    std::vector<int64_t> values;
};

// The writer's side: which columns follow, learnt from one row group. One thread.
class FollowerTable {
  public:
    bool is_learnt() const { return is_learnt_; }
    // Asked for each column of the first group, in any order.
    void learn(uint32_t column, std::span<const uint32_t> names, std::span<const int64_t> values);
    void end_learning() { is_learnt_ = true; }
    bool follows(uint32_t column) const {
        return column < columns_.size() && !columns_[column].values.empty();
    }
    // Appends a block's body; false, and nothing, where too many values differ.
    bool encode(uint32_t column, std::span<const uint32_t> names, std::span<const int64_t> values,
                int zstd_level, std::string& out);
    // What a reader needs; empty where no block followed.
    std::string directory(int zstd_level) const;

  private:
    bool is_learnt_ = false;
    std::vector<FollowedValues> columns_;  // by column; empty: does not follow
    std::vector<uint8_t> is_used_;
    std::vector<int64_t> gaps_;
    std::vector<int64_t> others_;
};

// The reader's side. Immutable; any thread.
class FollowerDirectory {
  public:
    static Result<FollowerDirectory> parse(std::string_view bytes, uint32_t columns);
    // The values of a block whose body (after the form) is given; names by value.
    Result<void> decode(uint32_t column, std::string_view body, std::span<const uint32_t> names,
                        std::vector<int64_t>& out) const;
    size_t memory_bytes() const;

  private:
    std::vector<FollowedValues> columns_;
};

}  // namespace spanloom::store
