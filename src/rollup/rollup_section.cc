#include "rollup/rollup_section.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <unordered_map>

#include "rollup/duration_histogram.h"
#include "rollup/rollup_operations.h"
#include "rollup/rollup_series.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/value_model.h"

namespace spanloom {
namespace {

using store::ByteReader;
using store::ByteWriter;

constexpr uint8_t kVersion = 4;       // 3 is kSeriesVersion
constexpr uint8_t kMixedVersion = 2;  // where failed spans are among the others
constexpr uint8_t kVersionMin = 1;
constexpr uint8_t kHasErrors = 1;  // flags of version 1
constexpr uint8_t kHasWeight = 2;
constexpr int kZstdLevel = 1;
// Cells, and buckets, that a section of so many bytes may have: a reader allocates by it before it
// sees the numbers.
constexpr uint64_t cells_max(size_t bytes) {
    return 65'536 + uint64_t{bytes} * 256;
}

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

// The numbers of all cells as columns.
struct CellColumns {
    std::vector<int64_t> operations;  // differences, as of steps
    std::vector<int64_t> steps;
    std::vector<int64_t> sizes;  // how many buckets
    std::vector<int64_t> first_buckets;
    std::vector<int64_t> gaps;    // buckets left out between one and the next of a cell
    std::vector<int64_t> counts;  // beyond one
};

// By how many buckets its cell has: those of many spans are dense.
uint8_t gap_context(int64_t size) {
    return static_cast<uint8_t>(
        std::min<uint32_t>(static_cast<uint32_t>(std::bit_width(static_cast<uint64_t>(size))), 9));
}

// By that, and how far the neighbours are.
uint8_t count_context(int64_t size, int64_t gap_before, int64_t gap_behind) {
    return static_cast<uint8_t>(gap_context(size) << 4 | std::min<int64_t>(gap_before, 3) << 2 |
                                std::min<int64_t>(gap_behind, 3));
}

// The contexts of all gaps and counts, for a writer and a reader alike.
struct CellContexts {
    std::vector<uint8_t> gaps;
    std::vector<uint8_t> counts;
};
void add_gap_contexts(std::span<const int64_t> sizes, CellContexts& contexts) {
    for (const int64_t size : sizes)
        contexts.gaps.resize(contexts.gaps.size() + static_cast<size_t>(size - 1),
                             gap_context(size));
}
void add_count_contexts(std::span<const int64_t> sizes, std::span<const int64_t> gaps,
                        CellContexts& contexts) {
    size_t next = 0;
    for (const int64_t size : sizes) {
        int64_t before = 0;
        for (int64_t i = 0; i < size; ++i) {
            const int64_t behind = i + 1 < size ? gaps[next++] : 0;
            contexts.counts.push_back(count_context(size, before, behind));
            before = behind;
        }
    }
}

// One cell: the rows keys[first, end).
void add_cell(const std::vector<uint64_t>& keys, size_t first, size_t end, CellColumns& cells) {
    int64_t size = 0;
    uint64_t bucket_before = 0;
    for (size_t i = first; i < end; ++size) {
        size_t next = i;
        while (next < end && keys[next] == keys[i])
            ++next;
        const uint64_t bucket = keys[i] & ((1U << kBucketBits) - 1);
        if (i == first)
            cells.first_buckets.push_back(static_cast<int64_t>(bucket));
        else
            cells.gaps.push_back(static_cast<int64_t>(bucket - bucket_before - 1));
        cells.counts.push_back(static_cast<int64_t>(next - i - 1));
        bucket_before = bucket;
        i = next;
    }
    cells.sizes.push_back(size);
}

void write_numbers(std::span<const int64_t> values, ByteWriter& out) {
    std::string body;
    store::encode_integers(values, kZstdLevel, body);
    out.text(body);
}

// With a model of their own where that is possible and shorter.
void write_modelled(std::span<const int64_t> values, std::span<const uint8_t> contexts,
                    std::string& bytes) {
    std::string body;
    std::string plain;
    store::ValueModel().write(kZstdLevel, plain);
    store::encode_integers(values, kZstdLevel, body);
    ByteWriter(plain).text(body);

    store::ModelLearner learner(0);
    learner.count(contexts, values);
    const store::ValueModel* const model = learner.model();
    std::string modelled;
    body.clear();
    const bool has_model = model != nullptr && model->encode(contexts, values, kZstdLevel, body);
    if (has_model) {
        model->write(kZstdLevel, modelled);
        ByteWriter(modelled).text(body);
    }
    bytes += has_model && modelled.size() < plain.size() ? modelled : plain;
}

// The operations of a segment that have rows, as these come: sorted, with their status.
class OperationList {
  public:
    explicit OperationList(const std::vector<store::OperationKey>& chosen) : chosen_(chosen) {}

    // Of a key's operation and error bits, which ascend.
    int64_t number_of(uint32_t key) {
        if (operations_.empty() || key != last_) {
            const store::OperationKey& one = chosen_[key >> 1];
            if (services_.empty() || services_.back() != one.service)
                services_.emplace_back(one.service);
            operations_.push_back({static_cast<uint32_t>(services_.size() - 1),
                                   std::string(one.name), one.kind, (key & 1) != 0});
            last_ = key;
        }
        return static_cast<int64_t>(operations_.size()) - 1;
    }
    void write(ByteWriter& out) const { write_operations(services_, operations_, out); }

  private:
    const std::vector<store::OperationKey>& chosen_;
    std::vector<std::string> services_;
    std::vector<RollupOperation> operations_;
    uint32_t last_ = 0;
};

using CellWeights = std::vector<std::pair<uint64_t, double>>;  // number of the cell, its weight

void write_weights(const CellWeights& weights, ByteWriter& out) {
    out.varint(weights.size());
    uint64_t number_before = 0;
    for (const auto& [number, weight] : weights) {
        out.varint(number - number_before);
        out.u64(std::bit_cast<uint64_t>(weight));
        number_before = number;
    }
}

// `errors`: none where operations say it.
void write_cells(const CellColumns& cells, std::span<const int64_t> errors, ByteWriter& out,
                 std::string& bytes) {
    out.varint(cells.sizes.size());
    write_numbers(cells.operations, out);
    write_numbers(cells.steps, out);
    if (!errors.empty()) write_numbers(errors, out);
    write_numbers(cells.sizes, out);
    write_numbers(cells.first_buckets, out);
    CellContexts contexts;
    add_gap_contexts(cells.sizes, contexts);
    add_count_contexts(cells.sizes, cells.gaps, contexts);
    write_modelled(cells.gaps, contexts.gaps, bytes);
    write_modelled(cells.counts, contexts.counts, bytes);
}

// Of version 1.
bool read_cell(ByteReader& in, RollupSection& section, RollupCell& cell) {
    const uint8_t flags = in.u8();
    cell.count = in.varint();
    if ((flags & kHasErrors) != 0) cell.errors = in.varint_max(cell.count);
    cell.weighted = static_cast<double>(cell.count);
    if ((flags & kHasWeight) != 0) cell.weighted = std::bit_cast<double>(in.u64());
    if (!std::isfinite(cell.weighted)) return false;
    cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
    cell.buckets = static_cast<uint32_t>(in.varint_max(DurationHistogram::kBuckets));
    uint64_t bucket = 0;
    for (uint32_t i = 0; i < cell.buckets && in.ok(); ++i) {
        bucket += in.varint_max(DurationHistogram::kBuckets);
        const uint64_t count = in.varint_max(UINT32_MAX);
        if (bucket >= DurationHistogram::kBuckets) return false;
        section.buckets.emplace_back(static_cast<uint16_t>(bucket), static_cast<uint32_t>(count));
    }
    return in.ok();
}

Result<std::vector<int64_t>> read_numbers(ByteReader& in, size_t count) {
    const std::string_view body = in.text();
    std::vector<int64_t> numbers;
    TRY(store::decode_integers(body, count, numbers));
    return numbers;
}

Result<std::vector<int64_t>> read_modelled(ByteReader& in, std::span<const uint8_t> contexts) {
    TRY_ASSIGN(const store::ValueModel model, store::ValueModel::parse(in));
    if (model.empty()) return read_numbers(in, contexts.size());
    const std::string_view body = in.text();
    std::vector<int64_t> numbers;
    if (body.empty()) return fail(ErrorCode::kDataLoss, "numbers end early");
    TRY(model.decode(body.substr(1), contexts, numbers));
    return numbers;
}

bool read_weights(ByteReader& in, RollupSection& section) {
    const uint64_t weights = in.varint_max(section.cells.size());
    uint64_t number = 0;
    for (uint64_t i = 0; i < weights && in.ok(); ++i) {
        number += in.varint_max(section.cells.size());
        const double weight = std::bit_cast<double>(in.u64());
        if (number >= section.cells.size() || !std::isfinite(weight)) return false;
        section.cells[number].weighted = weight;
    }
    return in.ok() && in.at_end();
}

// The cells of a version from 2 on; false, or an error, where they are damaged.
Result<bool> read_cells(ByteReader& in, uint8_t version, RollupSection& section) {
    const uint64_t limit = cells_max(in.rest().size());
    const uint64_t count = in.varint_max(limit);
    TRY_ASSIGN(const auto operations, read_numbers(in, count));
    TRY_ASSIGN(const auto steps, read_numbers(in, count));
    // Failed spans are operations of their own since.
    std::vector<int64_t> errors;
    if (version == 2) {
        TRY_ASSIGN(errors, read_numbers(in, count));
    }
    TRY_ASSIGN(const auto sizes, read_numbers(in, count));
    TRY_ASSIGN(const auto first_buckets, read_numbers(in, count));
    uint64_t buckets = 0;
    for (const int64_t size : sizes) {
        if (size < 1 || size > DurationHistogram::kBuckets) return false;
        buckets += static_cast<uint64_t>(size);
    }
    if (buckets > limit) return false;
    CellContexts contexts;
    add_gap_contexts(sizes, contexts);
    TRY_ASSIGN(const auto gaps, read_modelled(in, contexts.gaps));
    add_count_contexts(sizes, gaps, contexts);
    TRY_ASSIGN(const auto counts, read_modelled(in, contexts.counts));
    int64_t operation = 0;
    int64_t step = 0;
    size_t next_gap = 0;
    size_t next_count = 0;
    for (size_t i = 0; i < count; ++i) {
        if (operations[i] < 0 || operations[i] > UINT32_MAX || steps[i] < -int64_t{UINT32_MAX} ||
            steps[i] > UINT32_MAX)
            return false;
        operation += operations[i];
        step += steps[i];
        if (operation >= static_cast<int64_t>(section.operations.size()) || step < 0 ||
            step > UINT32_MAX)
            return false;
        RollupCell& cell = section.cells.emplace_back();
        cell.operation = static_cast<uint32_t>(operation);
        cell.step = static_cast<uint32_t>(step);
        cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
        cell.buckets = static_cast<uint32_t>(sizes[i]);
        int64_t bucket = first_buckets[i];
        for (int64_t b = 0; b < sizes[i]; ++b) {
            if (b > 0) {
                if (gaps[next_gap] < 0 || gaps[next_gap] >= DurationHistogram::kBuckets)
                    return false;
                bucket += gaps[next_gap++] + 1;
            }
            const int64_t spans = counts[next_count++];
            if (bucket < 0 || bucket >= DurationHistogram::kBuckets || spans < 0 ||
                spans >= UINT32_MAX)
                return false;
            section.buckets.emplace_back(static_cast<uint16_t>(bucket),
                                         static_cast<uint32_t>(spans) + 1);
            cell.count += static_cast<uint64_t>(spans) + 1;
        }
        if (!errors.empty())
            cell.errors = static_cast<uint64_t>(errors[i]);
        else if (section.operations[cell.operation].is_error)
            cell.errors = cell.count;
        if (cell.errors > cell.count) return false;
        cell.weighted = static_cast<double>(cell.count);
    }
    return read_weights(in, section);
}

}  // namespace

size_t RollupSection::memory_bytes() const {
    size_t bytes = sizeof *this + cells.capacity() * sizeof(RollupCell) + buckets.capacity() * 8;
    for (const auto& service : services)
        bytes += sizeof service + service.capacity();
    for (const auto& operation : operations)
        bytes += sizeof operation + operation.name.capacity();
    return bytes;
}

std::string encode_rollup(const store::RollupRows& rows, uint32_t step_s) {
    std::string bytes;
    const size_t count = rows.operation.size();
    if (count == 0) return bytes;
    const uint64_t step_ns = step_s * kRollupSecondNs;
    const ChosenOperations chosen = choose_operations(rows);
    std::vector<uint64_t> keys(count);
    std::unordered_map<uint64_t, double> extra_weights;
    for (size_t i = 0; i < count; ++i) {
        const uint64_t cell = cell_key(chosen.place[rows.operation[i]], rows.is_error[i] != 0,
                                       rows.start_ns[i] / step_ns);
        keys[i] = cell << kBucketBits | DurationHistogram::bucket_of(rows.duration_ns[i]);
        if (rows.weight[i] != 1) extra_weights[cell] += rows.weight[i] - 1;
    }
    sort_keys(keys);
    OperationList operations(chosen.kept);
    CellColumns cells;
    CellWeights weights;
    uint64_t step_before = 0;
    int64_t operation_before = 0;
    for (size_t i = 0; i < count;) {
        const uint64_t cell = keys[i] >> kBucketBits;
        size_t end = i;
        while (end < count && keys[end] >> kBucketBits == cell)
            ++end;
        const uint64_t step = cell & ((1ULL << kStepBits) - 1);
        const int64_t operation = operations.number_of(static_cast<uint32_t>(cell >> kStepBits));
        cells.operations.push_back(operation - operation_before);
        cells.steps.push_back(static_cast<int64_t>(step) - static_cast<int64_t>(step_before));
        if (const auto weight = extra_weights.find(cell); weight != extra_weights.end())
            weights.emplace_back(cells.sizes.size(), static_cast<double>(end - i) + weight->second);
        add_cell(keys, i, end, cells);
        operation_before = operation;
        step_before = step;
        i = end;
    }
    ByteWriter out(bytes);
    out.u8(kVersion);
    operations.write(out);
    write_cells(cells, {}, out, bytes);
    write_weights(weights, out);
    return bytes;
}

std::string encode_section(const RollupSection& section) {
    std::string bytes;
    if (section.cells.empty()) return bytes;
    CellColumns cells;
    CellWeights weights;
    std::vector<int64_t> errors;
    bool is_by_status = true;
    RollupCell before;
    for (const RollupCell& cell : section.cells) {
        if (cell.weighted != static_cast<double>(cell.count))
            weights.emplace_back(cells.sizes.size(), cell.weighted);
        cells.operations.push_back(int64_t{cell.operation} - before.operation);
        cells.steps.push_back(int64_t{cell.step} - before.step);
        cells.sizes.push_back(cell.buckets);
        errors.push_back(static_cast<int64_t>(cell.errors));
        is_by_status =
            is_by_status &&
            cell.errors == (section.operations[cell.operation].is_error ? cell.count : 0);
        for (uint32_t i = 0; i < cell.buckets; ++i) {
            const auto& [bucket, count] = section.buckets[cell.first_bucket + i];
            if (i == 0)
                cells.first_buckets.push_back(bucket);
            else
                cells.gaps.push_back(bucket - section.buckets[cell.first_bucket + i - 1].first - 1);
            cells.counts.push_back(int64_t{count} - 1);
        }
        before = cell;
    }
    ByteWriter out(bytes);
    out.u8(is_by_status ? kVersion : kMixedVersion);
    write_operations(section.services, section.operations, out);
    write_cells(cells, is_by_status ? std::span<const int64_t>() : errors, out, bytes);
    write_weights(weights, out);
    return bytes;
}

Result<uint64_t> count_cells(std::string_view bytes) {
    if (bytes.empty()) return 0;
    ByteReader in(bytes);
    RollupSection section;
    const bool is_known = in.u8() == kVersion;
    if (!is_known || !read_operations(in, section))
        return fail(ErrorCode::kDataLoss, "rollup: the section is damaged");
    return in.varint();
}

Result<RollupSection> decode_rollup(std::string_view bytes, uint32_t step_s) {
    RollupSection section;
    section.step_s = step_s;
    if (bytes.empty()) return section;
    ByteReader in(bytes);
    const uint8_t version = in.u8();
    if (version == kSeriesVersion) return decode_series(in.rest(), step_s);
    if (version < kVersionMin || version > kVersion) {
        return fail(ErrorCode::kUnsupported,
                    "rollup: version {} is not known here, only {} to {}; use a newer spanloom",
                    version, kVersionMin, kVersion);
    }
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "rollup: the section is damaged"); };
    if (!read_operations(in, section)) return broken();
    if (version >= 2) {
        const Result<bool> cells = read_cells(in, version, section);
        if (!cells || !*cells) return broken();
        return section;
    }
    uint64_t operation = 0;
    int64_t step = 0;
    while (in.ok() && !in.at_end()) {
        operation += in.varint_max(section.operations.size());
        const int64_t difference = in.zigzag();
        if (operation >= section.operations.size()) return broken();
        if (difference > UINT32_MAX || difference < -int64_t{UINT32_MAX}) return broken();
        step += difference;
        if (step < 0 || step > UINT32_MAX) return broken();
        RollupCell& cell = section.cells.emplace_back();
        cell.operation = static_cast<uint32_t>(operation);
        cell.step = static_cast<uint32_t>(step);
        if (!read_cell(in, section, cell)) return broken();
    }
    if (!in.ok()) return broken();
    return section;
}

}  // namespace spanloom
