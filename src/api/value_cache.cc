#include "api/value_cache.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "store/values.h"

namespace spanloom::api {
namespace {

using store::KeyCount;
using store::Value;

std::string text_of(const store::Field& field) {
    std::string text = std::to_string(static_cast<int>(field.scope)) + "." +
                       std::to_string(static_cast<int>(field.intrinsic)) + ".";
    return text + field.key;
}

bool overlaps(const store::Segment& segment, store::TimeRange range) {
    const store::SegmentInfo& info = segment.info();
    return info.spans > 0 && info.start_ns_min < range.end_ns && info.end_ns_max >= range.start_ns;
}

bool is_inside(const store::Segment& segment, store::TimeRange range) {
    const store::SegmentInfo& info = segment.info();
    return info.start_ns_min >= range.start_ns && info.end_ns_max < range.end_ns;
}

bool key_before(const KeyCount& a, const KeyCount& b) {
    return std::tie(a.scope, a.key) < std::tie(b.scope, b.key);
}

// Both sorted; no doubles.
template <typename Item, typename Before>
void merge_into(std::vector<Item>& all, const std::vector<Item>& more, Before before) {
    if (all.empty()) {
        all = more;
        return;
    }
    std::vector<Item> merged;
    merged.reserve(std::max(all.size(), more.size()));
    std::set_union(std::make_move_iterator(all.begin()), std::make_move_iterator(all.end()),
                   more.begin(), more.end(), std::back_inserter(merged), before);
    all = std::move(merged);
}

}  // namespace

ValueCache::Entry ValueCache::find(const std::shared_ptr<const store::Segment>& segment,
                                   const std::string& what, uint32_t limit) {
    const std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end();) {
        if (at->segment.expired()) {
            bytes_ -= at->bytes;
            at = entries_.erase(at);
            continue;
        }
        const bool is_it = !at->segment.owner_before(segment) &&
                           !segment.owner_before(at->segment) && at->what == what &&
                           at->limit == limit;
        if (is_it) {
            entries_.splice(entries_.begin(), entries_, at);
            return entries_.front();
        }
        ++at;
    }
    return {};
}

void ValueCache::put(Entry entry) {
    const std::lock_guard lock(mutex_);
    bytes_ += entry.bytes;
    entries_.push_front(std::move(entry));
    while (bytes_ > bytes_max_ && !entries_.empty()) {
        bytes_ -= entries_.back().bytes;
        entries_.pop_back();
    }
}

size_t ValueCache::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

Result<std::vector<KeyCount>> ValueCache::keys(store::Segments segments, store::TimeRange range) {
    std::vector<KeyCount> all;
    for (const auto& segment : segments) {
        if (!overlaps(*segment, range)) continue;
        Entry entry = find(segment, "keys", 0);
        if (!entry.keys) {
            TRY_ASSIGN(auto found, store::attribute_keys({&segment, 1}, {}));
            entry = {segment, "keys", 0, nullptr, nullptr, sizeof(Entry)};
            for (const KeyCount& key : found)
                entry.bytes += sizeof(KeyCount) + key.key.capacity();
            entry.keys = std::make_shared<const std::vector<KeyCount>>(std::move(found));
            put(entry);
        }
        merge_into(all, *entry.keys, key_before);
    }
    return all;
}

Result<std::shared_ptr<const std::vector<Value>>> ValueCache::values_of(
    const std::shared_ptr<const store::Segment>& segment, const store::Field& field,
    uint32_t limit) {
    Entry entry = find(segment, text_of(field), limit);
    if (entry.values) return entry.values;
    TRY_ASSIGN(auto found, store::field_values({&segment, 1}, field, {},
                                               store::Predicate::everything(), limit));
    entry = {segment, text_of(field), limit, nullptr, nullptr, sizeof(Entry)};
    for (const Value& value : found)
        entry.bytes += sizeof(Value) + value.text.capacity();
    entry.values = std::make_shared<const std::vector<Value>>(std::move(found));
    put(entry);
    return entry.values;
}

Result<std::vector<Value>> ValueCache::values(store::Segments segments, const store::Field& field,
                                              store::TimeRange range, uint32_t limit) {
    std::vector<Value> all;
    for (const auto& segment : segments) {
        if (!overlaps(*segment, range)) continue;
        if (is_inside(*segment, range)) {
            TRY_ASSIGN(const auto found, values_of(segment, field, limit));
            merge_into(all, *found, store::value_before);
        } else {
            TRY_ASSIGN(const auto found,
                       store::field_values({&segment, 1}, field, range,
                                           store::Predicate::everything(), limit));
            merge_into(all, found, store::value_before);
        }
        if (all.size() > limit) all.resize(limit);
    }
    return all;
}

}  // namespace spanloom::api
