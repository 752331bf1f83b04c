#include "rollup/rollup_section.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <unordered_map>

#include "rollup/duration_histogram.h"
#include "store/column.h"
#include "store/segment_bytes.h"
#include "store/value_model.h"

namespace spanloom {
namespace {

using store::ByteReader;
using store::ByteWriter;

constexpr uint8_t kVersion = 2;
constexpr uint8_t kVersionMin = 1;
constexpr uint8_t kHasErrors = 1;  // flags of version 1
constexpr uint8_t kHasWeight = 2;
constexpr int kZstdLevel = 1;
// Cells, and buckets, that a section of so many bytes may have: a reader allocates by it before it
// sees the numbers.
constexpr uint64_t cells_max(size_t bytes) {
    return 65'536 + uint64_t{bytes} * 256;
}

// A row as one number that sorts as cells and their buckets do: operation (22 bits), minute (29),
// bucket (10), error (1).
constexpr uint32_t kBucketBits = 10;
constexpr uint32_t kMinuteBits = 29;
static_assert(DurationHistogram::kBuckets <= 1U << kBucketBits);
static_assert(UINT64_MAX / kRollupMinuteNs < 1ULL << kMinuteBits);
static_assert(kSectionOperationsMax * 2 < 1U << 22);

uint64_t cell_key(uint32_t operation, uint64_t minute) {
    return uint64_t{operation} << kMinuteBits | minute;
}
uint64_t row_key(uint64_t cell, uint32_t bucket, bool error) {
    return (cell << kBucketBits | bucket) << 1 | (error ? 1 : 0);
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

// The operations that are told apart, and where each of the segment's operations goes.
struct Operations {
    std::vector<store::OperationKey> kept;
    std::vector<uint32_t> place;  // by operation of the rows
};

Operations choose_operations(const store::RollupRows& rows) {
    Operations chosen;
    std::vector<uint64_t> counts(rows.operations.size());
    for (const uint32_t operation : rows.operation)
        ++counts[operation];
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) order.push_back(i);
    }
    const auto key = [&](uint32_t i) {
        const store::OperationKey& one = rows.operations[i];
        return std::make_tuple(one.service, one.name, one.kind);
    };
    if (order.size() > kSectionOperationsMax) {
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
            return counts[a] != counts[b] ? counts[a] > counts[b] : key(a) < key(b);
        });
    }
    chosen.place.assign(counts.size(), 0);
    const size_t kept = std::min<size_t>(order.size(), kSectionOperationsMax);
    std::sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept),
              [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
    for (size_t i = 0; i < kept; ++i) {
        chosen.place[order[i]] = static_cast<uint32_t>(i);
        chosen.kept.push_back(rows.operations[order[i]]);
    }
    // What is over: one operation of each kind, of a service by that name too.
    std::map<otlp::SpanKind, uint32_t> others;
    for (size_t i = kept; i < order.size(); ++i) {
        const otlp::SpanKind kind = rows.operations[order[i]].kind;
        const auto [at, is_new] = others.emplace(kind, static_cast<uint32_t>(chosen.kept.size()));
        if (is_new) chosen.kept.push_back({kOtherOperation, kOtherOperation, kind});
        chosen.place[order[i]] = at->second;
    }
    return chosen;
}

void write_operations(const std::vector<store::OperationKey>& operations, ByteWriter& out) {
    std::map<std::string_view, uint32_t> services;
    for (const auto& operation : operations)
        services.emplace(operation.service, 0);
    out.varint(services.size());
    uint32_t number = 0;
    for (auto& [name, index] : services) {
        out.text(name);
        index = number++;
    }
    out.varint(operations.size());
    for (const auto& operation : operations) {
        out.varint(services[operation.service]);
        out.u8(static_cast<uint8_t>(operation.kind));
        out.text(operation.name);
    }
}

// The numbers of all cells as columns.
struct CellColumns {
    std::vector<int64_t> operations;  // differences, as of minutes
    std::vector<int64_t> minutes;
    std::vector<int64_t> errors;
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
    int64_t errors = 0;
    int64_t size = 0;
    uint64_t bucket_before = 0;
    for (size_t i = first; i < end; ++size) {
        size_t next = i;
        for (; next < end && keys[next] >> 1 == keys[i] >> 1; ++next)
            errors += static_cast<int64_t>(keys[next] & 1);
        const uint64_t bucket = keys[i] >> 1 & ((1U << kBucketBits) - 1);
        if (i == first)
            cells.first_buckets.push_back(static_cast<int64_t>(bucket));
        else
            cells.gaps.push_back(static_cast<int64_t>(bucket - bucket_before - 1));
        cells.counts.push_back(static_cast<int64_t>(next - i - 1));
        bucket_before = bucket;
        i = next;
    }
    cells.errors.push_back(errors);
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

void write_cells(const CellColumns& cells, ByteWriter& out, std::string& bytes) {
    out.varint(cells.sizes.size());
    write_numbers(cells.operations, out);
    write_numbers(cells.minutes, out);
    write_numbers(cells.errors, out);
    write_numbers(cells.sizes, out);
    write_numbers(cells.first_buckets, out);
    CellContexts contexts;
    add_gap_contexts(cells.sizes, contexts);
    add_count_contexts(cells.sizes, cells.gaps, contexts);
    write_modelled(cells.gaps, contexts.gaps, bytes);
    write_modelled(cells.counts, contexts.counts, bytes);
}

bool read_operations(ByteReader& in, RollupSection& section) {
    const uint64_t services = in.varint_max(in.rest().size());
    for (uint64_t i = 0; i < services && in.ok(); ++i)
        section.services.emplace_back(in.text());
    const uint64_t operations = in.varint_max(in.rest().size());
    for (uint64_t i = 0; i < operations && in.ok(); ++i) {
        RollupOperation& operation = section.operations.emplace_back();
        operation.service = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
        const uint8_t kind = in.u8();
        operation.kind = static_cast<otlp::SpanKind>(kind <= 5 ? kind : 0);
        operation.name = in.text();
        if (operation.service >= section.services.size()) return false;
    }
    return in.ok();
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

// The cells of version 2; false, or an error, where they are damaged.
Result<bool> read_cells(ByteReader& in, RollupSection& section) {
    const uint64_t limit = cells_max(in.rest().size());
    const uint64_t count = in.varint_max(limit);
    std::array<std::vector<int64_t>, 5> columns;
    for (auto& column : columns) {
        TRY_ASSIGN(column, read_numbers(in, count));
    }
    const auto& [operations, minutes, errors, sizes, first_buckets] = columns;
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
    int64_t minute = 0;
    size_t next_gap = 0;
    size_t next_count = 0;
    for (size_t i = 0; i < count; ++i) {
        if (operations[i] < 0 || operations[i] > UINT32_MAX || minutes[i] < -int64_t{UINT32_MAX} ||
            minutes[i] > UINT32_MAX || errors[i] < 0)
            return false;
        operation += operations[i];
        minute += minutes[i];
        if (operation >= static_cast<int64_t>(section.operations.size()) || minute < 0 ||
            minute > UINT32_MAX)
            return false;
        RollupCell& cell = section.cells.emplace_back();
        cell.operation = static_cast<uint32_t>(operation);
        cell.minute = static_cast<uint32_t>(minute);
        cell.errors = static_cast<uint64_t>(errors[i]);
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

std::string encode_rollup(const store::RollupRows& rows) {
    std::string bytes;
    const size_t count = rows.operation.size();
    if (count == 0) return bytes;
    const Operations operations = choose_operations(rows);
    std::vector<uint64_t> keys(count);
    std::unordered_map<uint64_t, double> extra_weights;
    for (size_t i = 0; i < count; ++i) {
        const uint64_t cell =
            cell_key(operations.place[rows.operation[i]], rows.start_ns[i] / kRollupMinuteNs);
        keys[i] =
            row_key(cell, DurationHistogram::bucket_of(rows.duration_ns[i]), rows.is_error[i] != 0);
        if (rows.weight[i] != 1) extra_weights[cell] += rows.weight[i] - 1;
    }
    sort_keys(keys);
    ByteWriter out(bytes);
    out.u8(kVersion);
    write_operations(operations.kept, out);
    CellColumns cells;
    CellWeights weights;
    uint64_t before = 0;
    for (size_t i = 0; i < count;) {
        const uint64_t cell = keys[i] >> (kBucketBits + 1);
        size_t end = i;
        while (end < count && keys[end] >> (kBucketBits + 1) == cell)
            ++end;
        constexpr uint64_t kMinuteMask = (1ULL << kMinuteBits) - 1;
        cells.operations.push_back(
            static_cast<int64_t>((cell >> kMinuteBits) - (before >> kMinuteBits)));
        cells.minutes.push_back(static_cast<int64_t>(cell & kMinuteMask) -
                                static_cast<int64_t>(before & kMinuteMask));
        if (const auto weight = extra_weights.find(cell); weight != extra_weights.end())
            weights.emplace_back(cells.errors.size(),
                                 static_cast<double>(end - i) + weight->second);
        add_cell(keys, i, end, cells);
        before = cell;
        i = end;
    }
    write_cells(cells, out, bytes);
    write_weights(weights, out);
    return bytes;
}

std::string encode_section(const RollupSection& section) {
    std::string bytes;
    if (section.cells.empty()) return bytes;
    ByteWriter out(bytes);
    out.u8(kVersion);
    std::vector<store::OperationKey> operations;
    for (const RollupOperation& one : section.operations)
        operations.push_back({section.services[one.service], one.name, one.kind});
    write_operations(operations, out);
    CellColumns cells;
    CellWeights weights;
    int64_t operation_before = 0;
    int64_t minute_before = 0;
    for (const RollupCell& cell : section.cells) {
        if (cell.weighted != static_cast<double>(cell.count))
            weights.emplace_back(cells.sizes.size(), cell.weighted);
        cells.operations.push_back(cell.operation - operation_before);
        cells.minutes.push_back(cell.minute - minute_before);
        cells.errors.push_back(static_cast<int64_t>(cell.errors));
        cells.sizes.push_back(cell.buckets);
        for (uint32_t i = 0; i < cell.buckets; ++i) {
            const auto& [bucket, count] = section.buckets[cell.first_bucket + i];
            if (i == 0)
                cells.first_buckets.push_back(bucket);
            else
                cells.gaps.push_back(bucket - section.buckets[cell.first_bucket + i - 1].first - 1);
            cells.counts.push_back(int64_t{count} - 1);
        }
        operation_before = cell.operation;
        minute_before = cell.minute;
    }
    write_cells(cells, out, bytes);
    write_weights(weights, out);
    return bytes;
}

Result<RollupSection> decode_rollup(std::string_view bytes) {
    RollupSection section;
    if (bytes.empty()) return section;
    ByteReader in(bytes);
    const uint8_t version = in.u8();
    if (version < kVersionMin || version > kVersion) {
        return fail(ErrorCode::kUnsupported,
                    "rollup: version {} is not known here, only {} to {}; use a newer spanloom",
                    version, kVersionMin, kVersion);
    }
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "rollup: the section is damaged"); };
    if (!read_operations(in, section)) return broken();
    if (version >= 2) {
        const Result<bool> cells = read_cells(in, section);
        if (!cells || !*cells) return broken();
        return section;
    }
    uint64_t operation = 0;
    int64_t minute = 0;
    while (in.ok() && !in.at_end()) {
        operation += in.varint_max(section.operations.size());
        const int64_t step = in.zigzag();
        if (operation >= section.operations.size()) return broken();
        if (step > UINT32_MAX || step < -int64_t{UINT32_MAX}) return broken();
        minute += step;
        if (minute < 0 || minute > UINT32_MAX) return broken();
        RollupCell& cell = section.cells.emplace_back();
        cell.operation = static_cast<uint32_t>(operation);
        cell.minute = static_cast<uint32_t>(minute);
        if (!read_cell(in, section, cell)) return broken();
    }
    if (!in.ok()) return broken();
    return section;
}

}  // namespace spanloom
