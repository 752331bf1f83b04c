#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/search.h"

namespace spanloom::api {

// Attribute keys and values of whole segments, which never change: autocompletion asks for the same
// ones at every key press. Segments that a time range cuts are asked anew, so that lists stay
// exact. Forgets what was used longest ago, and what segments that are gone had. Any thread.
class ValueCache {
  public:
    explicit ValueCache(size_t bytes_max = 16U << 20) : bytes_max_(bytes_max) {}

    // As store::attribute_keys.
    Result<std::vector<store::KeyCount>> keys(store::Segments segments, store::TimeRange range);
    // As store::field_values without a condition.
    Result<std::vector<store::Value>> values(store::Segments segments, const store::Field& field,
                                             store::TimeRange range, uint32_t limit);
    size_t bytes() const;

  private:
    struct Entry {
        std::weak_ptr<const store::Segment> segment;
        std::string what;  // "keys", or the field
        uint32_t limit = 0;
        std::shared_ptr<const std::vector<store::KeyCount>> keys;
        std::shared_ptr<const std::vector<store::Value>> values;
        size_t bytes = 0;
    };

    // Copies of what the entry holds; null pointers where there is none.
    Entry find(const std::shared_ptr<const store::Segment>& segment, const std::string& what,
               uint32_t limit);
    void put(Entry entry);
    Result<std::shared_ptr<const std::vector<store::Value>>> values_of(
        const std::shared_ptr<const store::Segment>& segment, const store::Field& field,
        uint32_t limit);

    const size_t bytes_max_;
    mutable std::mutex mutex_;
    std::list<Entry> entries_;  // used last first
    size_t bytes_ = 0;
};

}  // namespace spanloom::api
