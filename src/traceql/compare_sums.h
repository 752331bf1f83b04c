#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "store/segment.h"
#include "store/values.h"

namespace spanloom::traceql {

// The dictionary of the block before, which the next one often has, too. One thread.
class FollowedDictionary {
  public:
    // Whether the block has it.
    bool is_of(const store::ColumnBlock& block) const {
        return owner_ != nullptr && owner_ == block.owner &&
               strings_.data() == block.strings.data() && strings_.size() == block.strings.size();
    }
    void follow(const store::ColumnBlock& block) {
        owner_ = block.owner;
        strings_ = block.strings;
    }
    std::string_view operator[](size_t code) const { return strings_[code]; }

  private:
    std::shared_ptr<const void> owner_;
    std::span<const std::string_view> strings_;
};

// How many spans have each of the values of one column, where these are few, over all row groups of
// one interval. One thread.
class CompareSums {
  public:
    // A value, and how many spans of the baseline and of the selection have it.
    using Visit = std::function<void(const store::Value&, uint32_t baseline, uint32_t selection)>;

    // Adds a block, of whose values those at `selected` are of the selection; `leave` is told what
    // there is no place for any more. false: the values may be many, nothing is added.
    bool add(const store::ColumnKey& key, const store::ColumnBlock& block,
             std::span<const uint32_t> selected, const Visit& leave);
    // The same of values that are counted already; `selected` (nullptr: none) are those of the
    // selection among them.
    bool add(const store::ColumnKey& key, const store::Segment::ValueCounts& counted,
             const store::ColumnBlock* selected, const Visit& leave);
    // Tells all sums, of which there are none then.
    void leave(const store::ColumnKey& key, const Visit& visit);

  private:
    bool have_places(std::span<const int64_t> integers) const;
    bool make_room(const store::ColumnKey& key, const store::ColumnBlock& block,
                   const Visit& leave);

    std::vector<uint32_t> sums_;  // 2 for each code, or for each integer from first_ on
    FollowedDictionary dictionary_;
    int64_t first_ = 0;
};

}  // namespace spanloom::traceql
