#include "rollup/rollup_section.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>

#include "rollup/duration_histogram.h"
#include "rollup/packed_rollup.h"
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
    std::vector<int64_t> errors;
    std::vector<int64_t> bytes;  // beyond what the cell before lets expect
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

// The contexts of all gaps and counts.
struct CellContexts {
    std::vector<uint8_t> gaps;
    std::vector<uint8_t> counts;
};
CellContexts contexts_of(const CellColumns& cells) {
    CellContexts contexts;
    size_t next = 0;
    for (const int64_t size : cells.sizes) {
        int64_t before = 0;
        for (int64_t i = 0; i < size; ++i) {
            const bool is_last = i + 1 == size;
            const int64_t behind = is_last ? 0 : cells.gaps[next++];
            if (!is_last) contexts.gaps.push_back(gap_context(size));
            contexts.counts.push_back(count_context(size, before, behind));
            before = behind;
        }
    }
    return contexts;
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
    const CellContexts contexts = contexts_of(cells);
    write_modelled(cells.gaps, contexts.gaps, bytes);
    write_modelled(cells.counts, contexts.counts, bytes);
    if ((flags & kSizesFollow) != 0) write_numbers(cells.bytes, out);
}

// ---- reading

using Durations = std::vector<BucketCount>;

// A cell of version 1.
bool read_cell(ByteReader& in, RollupCell& cell, Durations& durations) {
    const uint8_t flags = in.u8();
    cell.count = in.varint();
    if ((flags & kHasErrors) != 0) cell.errors = in.varint_max(cell.count);
    cell.weighted = static_cast<double>(cell.count);
    if ((flags & kHasWeight) != 0) cell.weighted = std::bit_cast<double>(in.u64());
    if (!std::isfinite(cell.weighted)) return false;
    const uint64_t buckets = in.varint_max(DurationHistogram::kBuckets);
    uint64_t bucket = 0;
    uint64_t spans = 0;
    durations.clear();
    for (uint64_t i = 0; i < buckets && in.ok(); ++i) {
        bucket += in.varint_max(DurationHistogram::kBuckets);
        const uint64_t count = in.varint_max(UINT32_MAX);
        if (bucket >= DurationHistogram::kBuckets) return false;
        if (count > 0) durations.push_back({static_cast<uint32_t>(bucket), count});
        spans += count;
    }
    // What is written again expects spans in every cell.
    return in.ok() && spans > 0 && spans == cell.count;
}

// All cells of version 1.
bool read_first_cells(ByteReader& in, PackedRollup& section) {
    RollupPacker packer(section);
    Durations durations;
    uint64_t operation = 0;
    int64_t step = 0;
    while (in.ok() && !in.at_end()) {
        operation += in.varint_max(section.operations.size());
        const int64_t difference = in.zigzag();
        if (operation >= section.operations.size()) return false;
        if (difference > UINT32_MAX || difference < -int64_t{UINT32_MAX}) return false;
        step += difference;
        if (step < 0 || step > UINT32_MAX) return false;
        RollupCell cell;
        cell.operation = static_cast<uint32_t>(operation);
        cell.step = static_cast<uint32_t>(step);
        if (!read_cell(in, cell, durations)) return false;
        packer.add({&cell, 1}, durations);
    }
    packer.finish();
    return in.ok();
}

Result<std::vector<int64_t>> read_numbers(ByteReader& in, size_t count) {
    const std::string_view body = in.text();
    std::vector<int64_t> numbers;
    TRY(store::decode_integers(body, count, numbers));
    return numbers;
}

// The numbers of a column that may have a model, one after the other. One thread.
class ModelledNumbers {
  public:
    static Result<ModelledNumbers> open(ByteReader& in, size_t count) {
        ModelledNumbers opened;
        TRY_ASSIGN(auto model, store::ValueModel::parse(in));
        if (model.empty()) {
            TRY_ASSIGN(opened.plain_, read_numbers(in, count));
            return opened;
        }
        const std::string_view body = in.text();
        if (body.empty()) return fail(ErrorCode::kDataLoss, "numbers end early");
        opened.model_ = std::make_unique<store::ValueModel>(std::move(model));
        TRY_ASSIGN(opened.modelled_,
                   store::ValueModelReader::open(*opened.model_, body.substr(1), count));
        return opened;
    }

    // As often as there are numbers.
    int64_t next(uint8_t context) {
        return model_ != nullptr ? modelled_.next(context) : plain_[next_++];
    }
    // Behind the last one: whether they were whole.
    bool is_whole() const { return model_ == nullptr || modelled_.check(); }

  private:
    std::unique_ptr<store::ValueModel> model_;  // where it is
    store::ValueModelReader modelled_;
    std::vector<int64_t> plain_;
    size_t next_ = 0;
};

// What sections from version 2 on say of their cells.
struct ReadColumns {
    std::vector<int64_t> operations;
    std::vector<int64_t> steps;
    std::vector<int64_t> errors;  // none where operations say it
    std::vector<int64_t> sizes;
    std::vector<int64_t> first_buckets;
    std::vector<int64_t> bytes;  // none where they are not known
    ModelledNumbers gaps;
    ModelledNumbers counts;
    CellWeights weights;
};

bool read_weights(ByteReader& in, size_t cells, CellWeights& to) {
    const uint64_t weights = in.varint_max(cells);
    uint64_t number = 0;
    for (uint64_t i = 0; i < weights && in.ok(); ++i) {
        number += in.varint_max(cells);
        const double weight = std::bit_cast<double>(in.u64());
        if (number >= cells || !std::isfinite(weight)) return false;
        to.emplace_back(number, weight);
    }
    return in.ok() && in.at_end();
}

// False, or an error, where they are damaged.
Result<bool> read_columns(ByteReader& in, uint8_t flags, ReadColumns& cells) {
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
    TRY_ASSIGN(cells.gaps, ModelledNumbers::open(in, buckets - count));
    TRY_ASSIGN(cells.counts, ModelledNumbers::open(in, buckets));
    if ((flags & kSizesFollow) != 0) {
        TRY_ASSIGN(cells.bytes, read_numbers(in, count));
    }
    return read_weights(in, count, cells.weights);
}

// Cell after cell of columns; false where they are damaged.
class CellReader {
  public:
    CellReader(ReadColumns& columns, PackedRollup& section)
        : columns_(columns), section_(section) {}

    bool run() {
        RollupPacker packer(section_);
        // Here, so that where they are is kept in registers.
        ModelledNumbers gaps = std::move(columns_.gaps);
        ModelledNumbers counts = std::move(columns_.counts);
        for (size_t i = 0; i < columns_.sizes.size(); ++i) {
            RollupCell cell;
            if (!read_place(i, cell) || !read_buckets(i, gaps, counts, cell) || !read_sums(i, cell))
                return false;
            packer.add({&cell, 1}, durations_);
            before_ = cell;
        }
        packer.finish();
        columns_.gaps = std::move(gaps);
        columns_.counts = std::move(counts);
        return columns_.gaps.is_whole() && columns_.counts.is_whole();
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

    bool read_buckets(size_t i, ModelledNumbers& gaps, ModelledNumbers& counts, RollupCell& cell) {
        const int64_t size = columns_.sizes[i];
        int64_t bucket = columns_.first_buckets[i];
        int64_t before = 0;
        durations_.resize(static_cast<size_t>(size));
        for (BucketCount& to : durations_) {
            const bool is_last = &to == &durations_.back();
            const int64_t behind = is_last ? 0 : gaps.next(gap_context(size));
            if (behind < 0 || behind >= DurationHistogram::kBuckets) return false;
            const int64_t spans = counts.next(count_context(size, before, behind));
            if (bucket < 0 || bucket >= DurationHistogram::kBuckets || spans < 0 ||
                spans >= UINT32_MAX)
                return false;
            to = {static_cast<uint32_t>(bucket), static_cast<uint64_t>(spans) + 1};
            cell.count += to.count;
            bucket += behind + 1;
            before = behind;
        }
        return true;
    }

    bool read_sums(size_t i, RollupCell& cell) {
        if (!columns_.errors.empty())
            cell.errors = static_cast<uint64_t>(columns_.errors[i]);
        else if (section_.operations[cell.operation].is_error)
            cell.errors = cell.count;
        if (cell.errors > cell.count) return false;
        cell.weighted = static_cast<double>(cell.count);
        const CellWeights& weights = columns_.weights;
        for (; next_weight_ < weights.size() && weights[next_weight_].first == i; ++next_weight_)
            cell.weighted = weights[next_weight_].second;
        return columns_.bytes.empty() || read_bytes(columns_.bytes[i], cell);
    }

    bool read_bytes(int64_t difference, RollupCell& cell) const {
        constexpr auto kMost = static_cast<int64_t>(kBytesMax);
        if (difference < -kMost || difference > kMost) return false;
        const int64_t bytes = expected_bytes(before_, cell.count) + difference;
        if (bytes < 0 || bytes > kMost) return false;
        cell.bytes = static_cast<uint64_t>(bytes);
        return true;
    }

    ReadColumns& columns_;
    PackedRollup& section_;
    int64_t operation_ = 0;
    int64_t step_ = 0;
    size_t next_weight_ = 0;
    Durations durations_;
    RollupCell before_;
};

// The cells of a version from 2 on; false, or an error, where they are damaged.
Result<bool> read_cells(ByteReader& in, uint8_t flags, PackedRollup& section) {
    ReadColumns columns;
    TRY_ASSIGN(const bool is_whole, read_columns(in, flags, columns));
    return is_whole && CellReader(columns, section).run();
}

}  // namespace

bool RollupSection::has_sizes() const {
    return std::any_of(cells.begin(), cells.end(),
                       [](const RollupCell& cell) { return cell.bytes > 0; });
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
    RollupFacts facts;
    const bool is_known = in.u8() == kVersion;
    in.u8();  // what cells say
    if (!is_known || !read_operations(in, facts))
        return fail(ErrorCode::kDataLoss, "rollup: the section is damaged");
    return in.varint();
}

Result<PackedRollup> decode_rollup(std::string_view bytes, uint32_t step_s) {
    PackedRollup section;
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
    if (version == 1) {
        if (!read_first_cells(in, section)) return broken();
        return section;
    }
    const Result<bool> is_whole = read_cells(in, flags, section);
    if (!is_whole || !*is_whole) return broken();
    return section;
}

}  // namespace spanloom
