#include "traceql/value_sketch.h"

#include <cmath>
#include <limits>
#include <utility>

namespace spanloom::traceql {
namespace {

// Calls visit(key, count) for each distinct key, ascending.
template <typename Visit>
void count_keys(std::span<const uint32_t> keys, Visit&& visit) {
    if (keys.empty()) return;
    const auto [least, most] = std::minmax_element(keys.begin(), keys.end());
    const uint32_t first = *least;
    const size_t range = size_t{*most} - first + 1;
    // Durations of one operation are of a few magnitudes, of 64 buckets each.
    if (range <= keys.size() * 16 + 1024) {
        thread_local std::vector<uint32_t> counts;
        counts.assign(range, 0);
        for (const uint32_t key : keys)
            ++counts[key - first];
        for (size_t i = 0; i < range; ++i) {
            if (counts[i] != 0) visit(first + static_cast<uint32_t>(i), counts[i]);
        }
        return;
    }
    std::vector<uint32_t> sorted(keys.begin(), keys.end());
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size();) {
        size_t end = i + 1;
        while (end < sorted.size() && sorted[end] == sorted[i])
            ++end;
        visit(sorted[i], static_cast<uint32_t>(end - i));
        i = end;
    }
}

// Sums of weights that should meet the share exactly may miss it by a rounding.
double wanted_sum(double share, double total) {
    return share * total * (1 - 1e-12);
}

// Below so many values it takes less to put those that are asked for in their places than to count
// all of them.
constexpr size_t kSelectMax = 512;

// Calls found(share's index, key): the smallest key that this share of all does not exceed.
template <typename Found>
void select_keys(std::span<const uint32_t> keys, std::span<const double> shares, Found&& found) {
    thread_local std::vector<uint32_t> ordered;
    thread_local std::vector<std::pair<size_t, size_t>> places;  // of an ascending order, share
    ordered.assign(keys.begin(), keys.end());
    places.clear();
    for (size_t i = 0; i < shares.size(); ++i) {
        const double wanted = std::ceil(wanted_sum(shares[i], static_cast<double>(keys.size())));
        const double place = std::clamp(wanted - 1, 0.0, static_cast<double>(keys.size() - 1));
        places.emplace_back(static_cast<size_t>(place), i);
    }
    std::sort(places.begin(), places.end());
    auto begin = ordered.begin();
    for (const auto& [place, share] : places) {
        const auto at = ordered.begin() + static_cast<ptrdiff_t>(place);
        if (at >= begin) {
            std::nth_element(begin, at, ordered.end());
            begin = at + 1;
        }
        found(share, *at);
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
    count(bucket_of(value), weight);
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
    fresh_.reserve(kExactMax * 4);
    for (const Exact& one : exact_)
        count(bucket_of(one.value), one.weight);
    exact_ = {};
}

void ValueSketch::count(uint32_t key, double weight) {
    if (weight == 1) {
        fresh_.push_back(key);
        if (fresh_.size() >= kFreshMax) count_fresh();
        return;
    }
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
    fresh_ = {};
}

std::vector<ValueSketch::Bucket> ValueSketch::all_buckets() const {
    std::vector<Bucket> all;
    all.reserve(buckets_.size() + std::min<size_t>(fresh_.size(), 256));
    auto own = buckets_.begin();
    count_keys(fresh_, [&](uint32_t key, uint32_t count) {
        for (; own != buckets_.end() && own->key < key; ++own)
            all.push_back(*own);
        all.push_back({key, static_cast<double>(count)});
        if (own != buckets_.end() && own->key == key) all.back().weight += (own++)->weight;
    });
    all.insert(all.end(), own, buckets_.end());
    return all;
}

std::vector<double> ValueSketch::quantiles(std::span<const double> shares) const {
    std::vector<double> found(shares.size(), std::numeric_limits<double>::quiet_NaN());
    if (!is_exact_ && buckets_.empty() && !fresh_.empty() && fresh_.size() < kSelectMax) {
        select_keys(fresh_, shares,
                    [&](size_t share, uint32_t key) { found[share] = middle_of(key); });
        return found;
    }
    ShareFinder finder(shares, total_, found);
    if (is_exact_) {
        std::vector<Exact> sorted = exact_;
        std::sort(sorted.begin(), sorted.end(),
                  [](const Exact& a, const Exact& b) { return a.value < b.value; });
        for (const Exact& one : sorted)
            finder.add(one.weight, [&] { return one.value; });
    } else if (buckets_.empty()) {
        count_keys(fresh_, [&](uint32_t key, uint32_t count) {
            finder.add(count, [key] { return middle_of(key); });
        });
    } else {
        for (const Bucket& one : all_buckets())
            finder.add(one.weight, [&] { return middle_of(one.key); });
    }
    return found;
}

size_t ValueSketch::memory_bytes() const {
    return exact_.capacity() * sizeof(Exact) + buckets_.capacity() * sizeof(Bucket) +
           fresh_.capacity() * sizeof(uint32_t);
}

}  // namespace spanloom::traceql
