#include "traceql/value_sketch.h"

#include <cmath>
#include <limits>
#include <utility>

namespace spanloom::traceql {
namespace {

// How often each key comes, from the least on. Valid until the thread counts others.
struct KeyCounts {
    uint32_t first = 0;
    std::span<const uint32_t> counts;
};
KeyCounts count_keys(std::span<const uint16_t> keys) {
    uint16_t least = UINT16_MAX;
    uint16_t most = 0;
    for (const uint16_t key : keys) {
        least = std::min(least, key);
        most = std::max(most, key);
    }
    if (least > most) return {};
    // Durations of one operation are of a few magnitudes, of 64 buckets each.
    thread_local std::vector<uint32_t> counts;
    counts.assign(size_t{most} - least + 1, 0);
    for (const uint16_t key : keys)
        ++counts[size_t{key} - least];
    return {least, counts};
}

// Sums of weights that should meet the share exactly may miss it by a rounding.
double wanted_sum(double share, double total) {
    return share * total * (1 - 1e-12);
}

// Calls found(share's index, key): the smallest key that this share of all does not exceed.
template <typename Found>
void select_keys(std::span<const uint16_t> keys, std::span<const double> shares, Found&& found) {
    constexpr size_t kPart = 32;
    const KeyCounts known = count_keys(keys);
    for (size_t i = 0; i < shares.size(); ++i) {
        const double wanted = std::ceil(wanted_sum(shares[i], static_cast<double>(keys.size())));
        const auto place =
            static_cast<uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(keys.size())));
        uint32_t sum = 0;
        size_t at = 0;
        while (at + kPart < known.counts.size()) {
            uint32_t of_part = 0;
            for (size_t in_part = 0; in_part < kPart; ++in_part)
                of_part += known.counts[at + in_part];
            if (sum + of_part >= place) break;
            sum += of_part;
            at += kPart;
        }
        while (sum + known.counts[at] < place)
            sum += known.counts[at++];
        found(i, known.first + static_cast<uint32_t>(at));
    }
}

// Values that come ascending, and which of them are the quantiles.
class ShareFinder {
  public:
    ShareFinder(std::span<const double> shares, double total, std::vector<double>& found)
        : found_(found) {
        for (const double share : shares)
            wanted_.push_back(wanted_sum(share, total));
    }

    template <typename ValueOf>
    void add(double weight, ValueOf&& value) {
        const double before = std::exchange(sum_, sum_ + weight);
        for (size_t i = 0; i < wanted_.size(); ++i) {
            if (is_first_ || wanted_[i] > before) found_[i] = value();
        }
        is_first_ = false;
    }

  private:
    std::vector<double>& found_;
    std::vector<double> wanted_;
    double sum_ = 0;
    bool is_first_ = true;
};

}  // namespace

double ValueSketch::middle_of(uint32_t bucket) {
    const bool is_negative = bucket < kMiddle;
    const uint64_t magnitude = is_negative ? kMiddle - 1 - bucket : bucket - kMiddle;
    if (magnitude == 0) return 0;
    const double middle = std::bit_cast<double>(magnitude << 46 | uint64_t{1} << 45);
    return is_negative ? -middle : middle;
}

void ValueSketch::add(double value, double weight) {
    if (std::isnan(value) || !(weight > 0)) return;
    total_ += weight;
    if (is_exact_ && exact_.size() < kExactMax) {
        // Few sketches of a query have just a few.
        if (exact_.size() == exact_.capacity()) exact_.reserve(exact_.empty() ? 8 : kExactMax);
        exact_.push_back({value, weight});
        return;
    }
    if (is_exact_) count_exact();
    count(value, weight);
}

void ValueSketch::add(const ValueSketch& other) {
    if (other.is_exact_) {
        for (const Exact& one : other.exact_)
            add(one.value, one.weight);
        return;
    }
    if (is_exact_) count_exact();
    total_ += other.total_;
    if (!other.buckets_.empty()) {
        std::vector<Bucket> both;
        both.reserve(buckets_.size() + other.buckets_.size());
        auto own = buckets_.begin();
        for (const Bucket& theirs : other.buckets_) {
            for (; own != buckets_.end() && own->key < theirs.key; ++own)
                both.push_back(*own);
            both.push_back(theirs);
            if (own != buckets_.end() && own->key == theirs.key)
                both.back().weight += (own++)->weight;
        }
        both.insert(both.end(), own, buckets_.end());
        buckets_ = std::move(both);
    }
    fresh_.insert(fresh_.end(), other.fresh_.begin(), other.fresh_.end());
    if (fresh_.size() >= kFreshMax) count_fresh();
}

void ValueSketch::count_exact() {
    is_exact_ = false;
    fresh_.reserve(kFreshMin);
    for (const Exact& one : exact_)
        count(one.value, one.weight);
    exact_ = std::vector<Exact>();  // with its room
}

void ValueSketch::count(double value, double weight) {
    if (weight != 1 || !is_fresh(value)) return count_bucket(bucket_of(value), weight);
    fresh_.push_back(fresh_key(value));
    if (fresh_.size() >= kFreshMax) count_fresh();
}

void ValueSketch::count_bucket(uint32_t key, double weight) {
    const auto at =
        std::lower_bound(buckets_.begin(), buckets_.end(), key,
                         [](const Bucket& bucket, uint32_t wanted) { return bucket.key < wanted; });
    if (at != buckets_.end() && at->key == key) {
        at->weight += weight;
    } else {
        buckets_.insert(at, {key, weight});
    }
}

void ValueSketch::count_fresh() {
    buckets_ = all_buckets();
    fresh_ = std::vector<uint16_t>();
    fresh_.reserve(kFreshMin);
}

std::vector<ValueSketch::Bucket> ValueSketch::all_buckets() const {
    std::vector<Bucket> all;
    all.reserve(buckets_.size() + std::min<size_t>(fresh_.size(), 256));
    auto own = buckets_.begin();
    const KeyCounts known = count_keys(fresh_);
    for (uint32_t i = 0; i < known.counts.size(); ++i) {
        if (known.counts[i] == 0) continue;
        const uint32_t key = kFreshFirst + known.first + i;
        for (; own != buckets_.end() && own->key < key; ++own)
            all.push_back(*own);
        all.push_back({key, static_cast<double>(known.counts[i])});
        if (own != buckets_.end() && own->key == key) all.back().weight += (own++)->weight;
    }
    all.insert(all.end(), own, buckets_.end());
    return all;
}

std::vector<double> ValueSketch::quantiles(std::span<const double> shares) const {
    std::vector<double> found(shares.size(), std::numeric_limits<double>::quiet_NaN());
    if (buckets_.empty() && !fresh_.empty()) {
        select_keys(fresh_, shares, [&](size_t share, uint32_t key) {
            found[share] = middle_of(kFreshFirst + key);
        });
        return found;
    }
    ShareFinder finder(shares, total_, found);
    if (is_exact_) {
        std::vector<Exact> sorted = exact_;
        std::sort(sorted.begin(), sorted.end(),
                  [](const Exact& a, const Exact& b) { return a.value < b.value; });
        for (const Exact& one : sorted)
            finder.add(one.weight, [&] { return one.value; });
    } else {
        for (const Bucket& one : all_buckets())
            finder.add(one.weight, [&] { return middle_of(one.key); });
    }
    return found;
}

size_t ValueSketch::memory_bytes() const {
    return exact_.capacity() * sizeof(Exact) + buckets_.capacity() * sizeof(Bucket) +
           fresh_.capacity() * sizeof(uint16_t);
}

}  // namespace spanloom::traceql
