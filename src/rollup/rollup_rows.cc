#include <algorithm>
#include <array>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "rollup/known_sizes.h"
#include "rollup/packed_rollup.h"
#include "rollup/rollup_operations.h"
#include "rollup/rollup_section.h"

// How rows become cells.
namespace spanloom {
namespace {

// A row as one number that sorts as cells and their buckets do: operation (22 bits), error (1),
// step (31), bucket (10).
constexpr uint32_t kBucketBits = 10;
constexpr uint32_t kStepBits = 31;
static_assert(DurationHistogram::kBuckets <= 1U << kBucketBits);
static_assert(UINT64_MAX / (kShortStepS * kRollupSecondNs) < 1ULL << kStepBits);
static_assert(kSectionOperationsMax * 2 < 1U << 22);

uint64_t cell_key(uint32_t operation, bool error, uint64_t step) {
    return (uint64_t{operation} << 1 | (error ? 1 : 0)) << kStepBits | step;
}

// Digit by digit, lowest first; digits that all keys share are left out, and most are.
void sort_keys(std::vector<uint64_t>& keys) {
    constexpr uint32_t kDigitBits = 11;
    constexpr size_t kDigits = size_t{1} << kDigitBits;
    if (keys.size() < kDigits) return std::sort(keys.begin(), keys.end());
    uint64_t differing = 0;
    for (const uint64_t key : keys)
        differing |= key ^ keys.front();
    std::vector<uint64_t> sorted(keys.size());
    for (uint32_t shift = 0; shift < 64; shift += kDigitBits) {
        if ((differing >> shift & (kDigits - 1)) == 0) continue;
        std::array<size_t, kDigits + 1> next{};
        for (const uint64_t key : keys)
            ++next[(key >> shift & (kDigits - 1)) + 1];
        for (size_t digit = 1; digit < kDigits; ++digit)
            next[digit] += next[digit - 1];
        for (const uint64_t key : keys)
            sorted[next[key >> shift & (kDigits - 1)]++] = key;
        keys.swap(sorted);
    }
}

// The operations of a segment that have rows, as these come: sorted, with their status.
class OperationList {
  public:
    OperationList(const std::vector<store::OperationKey>& chosen, RollupSection& section)
        : chosen_(chosen), section_(section) {}

    // Of a key's operation and error bits, which ascend.
    uint32_t number_of(uint32_t key) {
        if (section_.operations.empty() || key != last_) {
            const store::OperationKey& one = chosen_[key >> 1];
            if (section_.services.empty() || section_.services.back() != one.service)
                section_.services.emplace_back(one.service);
            section_.operations.push_back({static_cast<uint32_t>(section_.services.size() - 1),
                                           std::string(one.name), one.kind, (key & 1) != 0});
            last_ = key;
        }
        return static_cast<uint32_t>(section_.operations.size()) - 1;
    }

  private:
    const std::vector<store::OperationKey>& chosen_;
    RollupSection& section_;
    uint32_t last_ = 0;
};

// What is summed up of the rows of a cell, by its key.
struct RowSums {
    boost::unordered_flat_map<uint64_t, double> extra_weights;
    boost::unordered_flat_map<uint64_t, uint64_t> bytes;

    void give(uint64_t key, RollupCell& cell) const {
        cell.weighted = static_cast<double>(cell.count);
        if (const auto weight = extra_weights.find(key); weight != extra_weights.end())
            cell.weighted += weight->second;
        if (const auto sum = bytes.find(key); sum != bytes.end()) cell.bytes = sum->second;
    }
};

// The rows keys[first, end) of one cell.
void add_buckets(const std::vector<uint64_t>& keys, size_t first, size_t end,
                 RollupSection& section) {
    RollupCell& cell = section.cells.back();
    cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
    for (size_t i = first; i < end;) {
        size_t next = i;
        while (next < end && keys[next] == keys[i])
            ++next;
        section.buckets.emplace_back(static_cast<uint16_t>(keys[i] & ((1U << kBucketBits) - 1)),
                                     static_cast<uint32_t>(next - i));
        i = next;
    }
    cell.buckets = static_cast<uint32_t>(section.buckets.size()) - cell.first_bucket;
    cell.count = end - first;
}

std::vector<uint64_t> sorted_keys(const store::RollupRows& rows, uint32_t step_s,
                                  const std::vector<uint32_t>& places, RowSums& sums) {
    const uint64_t step_ns = step_s * kRollupSecondNs;
    std::vector<uint64_t> keys(rows.operation.size());
    for (size_t i = 0; i < keys.size(); ++i) {
        const uint64_t cell =
            cell_key(places[rows.operation[i]], rows.is_error[i] != 0, rows.start_ns[i] / step_ns);
        keys[i] = cell << kBucketBits | DurationHistogram::bucket_of(rows.duration_ns[i]);
        if (rows.weight[i] != 1) sums.extra_weights[cell] += rows.weight[i] - 1;
        if (!rows.bytes.empty()) sums.bytes[cell] += rows.bytes[i];
    }
    sort_keys(keys);
    return keys;
}

RollupSection section_of(const store::RollupRows& rows, uint32_t step_s) {
    RollupSection section;
    section.step_s = step_s;
    const ChosenOperations chosen = choose_operations(rows);
    RowSums sums;
    const std::vector<uint64_t> keys = sorted_keys(rows, step_s, chosen.place, sums);
    OperationList operations(chosen.kept, section);
    for (size_t i = 0; i < keys.size();) {
        const uint64_t key = keys[i] >> kBucketBits;
        size_t end = i;
        while (end < keys.size() && keys[end] >> kBucketBits == key)
            ++end;
        const uint32_t operation = operations.number_of(static_cast<uint32_t>(key >> kStepBits));
        RollupCell& cell = section.cells.emplace_back();
        cell.operation = operation;
        cell.step = static_cast<uint32_t>(key & ((1ULL << kStepBits) - 1));
        add_buckets(keys, i, end, section);
        if (section.operations[operation].is_error) cell.errors = cell.count;
        sums.give(key, cell);
        i = end;
    }
    return section;
}

}  // namespace

std::string encode_rollup(const store::RollupRows& rows, uint32_t step_s) {
    if (rows.operation.empty()) return {};
    RollupSection section = section_of(rows, step_s);
    if (!rows.counted.empty()) {
        KnownSizes known(section);
        for (const Blob& counted : rows.counted) {
            // What cannot be understood says nothing of sizes; the rows are counted all the same.
            const auto decoded = decode_rollup(counted.view());
            if (decoded) known.add(*decoded);
        }
        known.give(section);
    }
    return encode_section(section);
}

}  // namespace spanloom
