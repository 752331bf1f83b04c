#include "rollup/rollup_section.h"

#include <algorithm>
#include <bit>
#include <cmath>

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
__extension__ using Wide = unsigned __int128;

constexpr uint8_t kVersion = 5;
constexpr uint8_t kVersionMin = 1;
// What of its cells a section of version 5 says. Version 2 has errors, version 4 nothing more.
constexpr uint8_t kErrorsFollow = 1;
constexpr uint8_t kSizesFollow = 2;
constexpr uint64_t kBytesMax = 1ULL << 48;  // of the spans of a cell
constexpr uint8_t kHasErrors = 1;           // flags of version 1
constexpr uint8_t kHasWeight = 2;
constexpr int kZstdLevel = 1;
// Cells, and buckets, that a section of so many bytes may have: a reader allocates by it before it
// sees the numbers.
constexpr uint64_t cells_max(size_t bytes) {
    return 65'536 + uint64_t{bytes} * 256;
}

// The numbers of all cells as columns.
struct CellColumns {
    std::vector<int64_t> operations;  // differences, as of steps
    std::vector<int64_t> steps;
    std::vector<int64_t> sizes;  // how many buckets
    std::vector<int64_t> first_buckets;
    std::vector<int64_t> gaps;    // buckets left out between one and the next of a cell
    std::vector<int64_t> counts;  // beyond one
    std::vector<int64_t> errors;  // of a reader's: none where operations say it
    std::vector<int64_t> bytes;   // beyond what the cell before lets expect
};

// As many bytes a span as in the cell before.
int64_t expected_bytes(const RollupCell& before, uint64_t spans) {
    if (before.count == 0) return 0;
    const Wide bytes = Wide{before.bytes} * spans / before.count;
    return static_cast<int64_t>(bytes < kBytesMax ? static_cast<uint64_t>(bytes) : kBytesMax);
}

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

void add_cell(const RollupSection& section, const RollupCell& cell, const RollupCell& before,
              CellColumns& cells) {
    cells.operations.push_back(int64_t{cell.operation} - before.operation);
    cells.steps.push_back(int64_t{cell.step} - before.step);
    cells.sizes.push_back(cell.buckets);
    cells.errors.push_back(static_cast<int64_t>(cell.errors));
    cells.bytes.push_back(static_cast<int64_t>(cell.bytes) - expected_bytes(before, cell.count));
    for (uint32_t i = 0; i < cell.buckets; ++i) {
        const auto& [bucket, count] = section.buckets[cell.first_bucket + i];
        if (i == 0)
            cells.first_buckets.push_back(bucket);
        else
            cells.gaps.push_back(bucket - section.buckets[cell.first_bucket + i - 1].first - 1);
        cells.counts.push_back(int64_t{count} - 1);
    }
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

void write_cells(const CellColumns& cells, uint8_t flags, ByteWriter& out, std::string& bytes) {
    out.varint(cells.sizes.size());
    write_numbers(cells.operations, out);
    write_numbers(cells.steps, out);
    if ((flags & kErrorsFollow) != 0) write_numbers(cells.errors, out);
    write_numbers(cells.sizes, out);
    write_numbers(cells.first_buckets, out);
    CellContexts contexts;
    add_gap_contexts(cells.sizes, contexts);
    add_count_contexts(cells.sizes, cells.gaps, contexts);
    write_modelled(cells.gaps, contexts.gaps, bytes);
    write_modelled(cells.counts, contexts.counts, bytes);
    if ((flags & kSizesFollow) != 0) write_numbers(cells.bytes, out);
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
    uint64_t spans = 0;
    for (uint32_t i = 0; i < cell.buckets && in.ok(); ++i) {
        bucket += in.varint_max(DurationHistogram::kBuckets);
        const uint64_t count = in.varint_max(UINT32_MAX);
        if (bucket >= DurationHistogram::kBuckets) return false;
        section.buckets.emplace_back(static_cast<uint16_t>(bucket), static_cast<uint32_t>(count));
        spans += count;
    }
    // What is written again expects spans in every cell.
    return in.ok() && spans > 0 && spans == cell.count;
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

// What a section says of its cells, but for their weights.
Result<bool> read_columns(ByteReader& in, uint8_t flags, CellColumns& cells) {
    const uint64_t limit = cells_max(in.rest().size());
    const uint64_t count = in.varint_max(limit);
    TRY_ASSIGN(cells.operations, read_numbers(in, count));
    TRY_ASSIGN(cells.steps, read_numbers(in, count));
    if ((flags & kErrorsFollow) != 0) {
        TRY_ASSIGN(cells.errors, read_numbers(in, count));
    }
    TRY_ASSIGN(cells.sizes, read_numbers(in, count));
    TRY_ASSIGN(cells.first_buckets, read_numbers(in, count));
    uint64_t buckets = 0;
    for (const int64_t size : cells.sizes) {
        if (size < 1 || size > DurationHistogram::kBuckets) return false;
        buckets += static_cast<uint64_t>(size);
    }
    if (buckets > limit) return false;
    CellContexts contexts;
    add_gap_contexts(cells.sizes, contexts);
    TRY_ASSIGN(cells.gaps, read_modelled(in, contexts.gaps));
    add_count_contexts(cells.sizes, cells.gaps, contexts);
    TRY_ASSIGN(cells.counts, read_modelled(in, contexts.counts));
    if ((flags & kSizesFollow) != 0) {
        TRY_ASSIGN(cells.bytes, read_numbers(in, count));
    }
    return true;
}

// Cell after cell of columns; false where they are damaged.
class CellReader {
  public:
    CellReader(const CellColumns& columns, RollupSection& section)
        : columns_(columns), section_(section) {}

    bool run() {
        for (size_t i = 0; i < columns_.sizes.size(); ++i) {
            RollupCell cell;
            if (!read_place(i, cell) || !read_buckets(i, cell) || !read_sums(i, cell)) return false;
            section_.cells.push_back(cell);
        }
        return true;
    }

  private:
    bool read_place(size_t i, RollupCell& cell) {
        const int64_t operation = columns_.operations[i];
        const int64_t step = columns_.steps[i];
        if (operation < 0 || operation > UINT32_MAX || step < -int64_t{UINT32_MAX} ||
            step > UINT32_MAX)
            return false;
        operation_ += operation;
        step_ += step;
        if (operation_ >= static_cast<int64_t>(section_.operations.size()) || step_ < 0 ||
            step_ > UINT32_MAX)
            return false;
        cell.operation = static_cast<uint32_t>(operation_);
        cell.step = static_cast<uint32_t>(step_);
        return true;
    }

    bool read_buckets(size_t i, RollupCell& cell) {
        cell.first_bucket = static_cast<uint32_t>(section_.buckets.size());
        cell.buckets = static_cast<uint32_t>(columns_.sizes[i]);
        int64_t bucket = columns_.first_buckets[i];
        for (uint32_t b = 0; b < cell.buckets; ++b) {
            if (b > 0) {
                const int64_t gap = columns_.gaps[next_gap_++];
                if (gap < 0 || gap >= DurationHistogram::kBuckets) return false;
                bucket += gap + 1;
            }
            const int64_t spans = columns_.counts[next_count_++];
            if (bucket < 0 || bucket >= DurationHistogram::kBuckets || spans < 0 ||
                spans >= UINT32_MAX)
                return false;
            section_.buckets.emplace_back(static_cast<uint16_t>(bucket),
                                          static_cast<uint32_t>(spans) + 1);
            cell.count += static_cast<uint64_t>(spans) + 1;
        }
        return true;
    }

    bool read_sums(size_t i, RollupCell& cell) const {
        if (!columns_.errors.empty())
            cell.errors = static_cast<uint64_t>(columns_.errors[i]);
        else if (section_.operations[cell.operation].is_error)
            cell.errors = cell.count;
        cell.weighted = static_cast<double>(cell.count);
        if (cell.errors > cell.count) return false;
        if (columns_.bytes.empty()) return true;
        const int64_t difference = columns_.bytes[i];
        constexpr auto kMost = static_cast<int64_t>(kBytesMax);
        if (difference < -kMost || difference > kMost) return false;
        const RollupCell before = i > 0 ? section_.cells.back() : RollupCell();
        const int64_t bytes = expected_bytes(before, cell.count) + difference;
        if (bytes < 0 || bytes > kMost) return false;
        cell.bytes = static_cast<uint64_t>(bytes);
        return true;
    }

    const CellColumns& columns_;
    RollupSection& section_;
    int64_t operation_ = 0;
    int64_t step_ = 0;
    size_t next_gap_ = 0;
    size_t next_count_ = 0;
};

// The cells of a version from 2 on; false, or an error, where they are damaged.
Result<bool> read_cells(ByteReader& in, uint8_t flags, RollupSection& section) {
    CellColumns columns;
    TRY_ASSIGN(const bool is_whole, read_columns(in, flags, columns));
    return is_whole && CellReader(columns, section).run() && read_weights(in, section);
}

}  // namespace

bool RollupSection::has_sizes() const {
    return std::any_of(cells.begin(), cells.end(),
                       [](const RollupCell& cell) { return cell.bytes > 0; });
}

size_t RollupSection::memory_bytes() const {
    size_t bytes = sizeof *this + cells.capacity() * sizeof(RollupCell) + buckets.capacity() * 8;
    for (const auto& service : services)
        bytes += sizeof service + service.capacity();
    for (const auto& operation : operations)
        bytes += sizeof operation + operation.name.capacity();
    return bytes;
}

std::string encode_section(const RollupSection& section) {
    std::string bytes;
    if (section.cells.empty()) return bytes;
    CellColumns cells;
    CellWeights weights;
    uint8_t flags = section.has_sizes() ? kSizesFollow : 0;
    RollupCell before;
    for (const RollupCell& from : section.cells) {
        RollupCell cell = from;
        cell.bytes = std::min(cell.bytes, kBytesMax);
        if (cell.weighted != static_cast<double>(cell.count))
            weights.emplace_back(cells.sizes.size(), cell.weighted);
        if (cell.errors != (section.operations[cell.operation].is_error ? cell.count : 0))
            flags |= kErrorsFollow;
        add_cell(section, cell, before, cells);
        before = cell;
    }
    ByteWriter out(bytes);
    out.u8(kVersion);
    out.u8(flags);
    write_operations(section.services, section.operations, out);
    write_cells(cells, flags, out, bytes);
    write_weights(weights, out);
    return bytes;
}

Result<uint64_t> count_cells(std::string_view bytes) {
    if (bytes.empty()) return 0;
    ByteReader in(bytes);
    RollupSection section;
    const bool is_known = in.u8() == kVersion;
    in.u8();  // what cells say
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
    if (version == kSeriesVersion || version == kSeriesVersionBefore)
        return decode_series(version, in.rest(), step_s);
    if (version < kVersionMin || version > kVersion) {
        return fail(ErrorCode::kUnsupported,
                    "rollup: version {} is not known here, only {} to {}; use a newer spanloom",
                    version, kVersionMin, kSeriesVersion);
    }
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "rollup: the section is damaged"); };
    uint8_t flags = version == 2 ? kErrorsFollow : 0;
    if (version == kVersion) flags = in.u8();
    if (!read_operations(in, section)) return broken();
    if (version >= 2) {
        const Result<bool> cells = read_cells(in, flags, section);
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
