#include "rollup/rollup_series.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "rollup/number_coder.h"
#include "rollup/rollup_operations.h"
#include "store/column.h"
#include "store/segment_bytes.h"

namespace spanloom {
namespace {

constexpr int kZstdLevel = 19;  // names are few, and stay for years
constexpr uint64_t kCountMax = 1ULL << 48;
constexpr uint64_t kBytesMax = 1ULL << 50;
__extension__ using Wide = unsigned __int128;
// Parts of a section of so many bytes: what a reader may allocate.
constexpr uint64_t parts_max(size_t bytes) {
    return 65'536 + uint64_t{bytes} * 1024;
}

// How many are expected of `all` where the shares are so. Doubles, so that every reader has the
// same.
double expected(uint64_t all, uint64_t share, uint64_t shares) {
    // Only damaged bytes say more than this, of which anything may be expected that is a number.
    constexpr double kMost = 0x1p58;
    const auto number = [](uint64_t of_spans) {
        return static_cast<double>(static_cast<int64_t>(of_spans & INT64_MAX));
    };
    return std::min(kMost, number(all) * number(share) / number(shares));
}

// What a number was the last times says what it will be: older ones fade.
constexpr uint32_t kFading = 3;
void add_to_share(uint64_t& share, uint64_t count) {
    share = share - (share >> kFading) + (count << 4);
}

// How many spans a cell is likely to have: those of the cell before, and as much more or less as
// the operations before had at these steps.
class StepTotals {
  public:
    double expected_spans(const RollupCell& before, uint32_t step) const {
        const auto then = spans_.find(before.step);
        const auto now = spans_.find(step);
        if (then == spans_.end() || now == spans_.end()) return static_cast<double>(before.count);
        return expected(before.count, now->second, then->second);
    }
    void add(uint32_t step, uint64_t spans) { added_.emplace_back(step, spans); }
    // Behind the last cell of an operation.
    void finish_operation() {
        for (const auto& [step, spans] : added_)
            spans_[step] += spans;
        added_.clear();
    }

  private:
    boost::unordered_flat_map<uint32_t, uint64_t> spans_;
    std::vector<std::pair<uint32_t, uint64_t>> added_;
};

// How long spans are, in bytes on average, in buckets as durations have them: near what they were
// the last times.
class SizeShares {
  public:
    static uint32_t bucket_of(uint64_t bytes, uint64_t spans) {
        return DurationHistogram::bucket_of((bytes + spans / 2) / spans);
    }
    static uint64_t bytes_of(uint32_t bucket) {
        return DurationHistogram::lower_bound_of(bucket) + DurationHistogram::width_of(bucket) / 2;
    }
    // Of an operation's first one, that of the operation before's.
    uint32_t expected() const { return spans_ == 0 ? first_ : bucket_of(bytes_, spans_); }
    void add(uint32_t bucket, uint64_t spans) {
        if (spans_ == 0) first_ = bucket;
        add_to_share(bytes_, bytes_of(bucket) * spans);
        add_to_share(spans_, spans);
    }
    void finish_operation() { bytes_ = spans_ = 0; }

  private:
    uint32_t first_ = 0;
    uint64_t bytes_ = 0;
    uint64_t spans_ = 0;
};

// The contexts of all numbers of a section.
struct SeriesContexts {
    static constexpr size_t kClasses = 64;
    NumberContext cells;
    NumberContext first_step;
    NumberContext lowest;
    NumberContext width;
    std::array<NumberContext, 8> gaps;    // by how many bits the gap before had
    std::array<NumberContext, 16> sizes;  // by how many bits the number of spans has
    // By what is expected:
    std::array<NumberContext, kClasses> spans;
    std::array<NumberContext, kClasses> errors;
    std::array<NumberContext, kClasses> buckets;

    static size_t class_of(double expectation) {
        const auto sixteenths = static_cast<uint64_t>(static_cast<int64_t>(expectation * 16));
        if (sixteenths < 2) return sixteenths;
        const auto bits = static_cast<uint32_t>(std::bit_width(sixteenths));
        return std::min<size_t>(2 * bits - 2 + (sixteenths >> (bits - 2) & 1), kClasses - 1);
    }
    static size_t class_of_size(uint64_t spans) {
        return std::min<size_t>(std::bit_width(spans), 15);
    }
    static size_t class_of_gap(uint64_t gap) { return std::min<size_t>(std::bit_width(gap), 7); }
};

// ---- writing

uint64_t zigzag(int64_t value) {
    return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
    return static_cast<int64_t>(value >> 1 ^ (0 - (value & 1)));
}
// Of numbers from anywhere: what is too large comes out wrong, and is refused.
int64_t sum_of(int64_t expected, int64_t difference) {
    return static_cast<int64_t>(static_cast<uint64_t>(expected) +
                                static_cast<uint64_t>(difference));
}

// Behind the last cell whose durations are known together with those of the first.
size_t end_of_durations(std::span<const RollupCell> cells, uint32_t steps, size_t first,
                        size_t end) {
    const auto group = [&](size_t at) { return cells[at].step / steps; };
    size_t next = first + 1;
    while (next < end && group(next) == group(first))
        ++next;
    return next;
}

class SeriesWriter {
  public:
    explicit SeriesWriter(const RollupSection& section)
        : section_(section), has_sizes_(section.has_sizes()) {}

    std::string run() {
        const auto& cells = section_.cells;
        for (size_t first = 0; first < cells.size();) {
            size_t end = first;
            while (end < cells.size() && cells[end].operation == cells[first].operation)
                ++end;
            write_operation(first, end);
            first = end;
        }
        return out_.finish();
    }

  private:
    uint32_t bucket(uint32_t at) const {
        return uint32_t{section_.buckets[at].first} >> section_.detail.merged_bits;
    }

    void write_operation(size_t first, size_t end) {
        const auto& cells = section_.cells;
        uint32_t lowest = UINT32_MAX;
        uint32_t highest = 0;
        for (size_t i = first; i < end; ++i) {
            lowest = std::min(lowest, bucket(cells[i].first_bucket));
            highest = std::max(highest, bucket(cells[i].first_bucket + cells[i].buckets - 1));
        }
        out_.number(contexts_->cells, end - first);
        out_.number(contexts_->lowest, lowest);
        out_.number(contexts_->width, highest - lowest);
        out_.number(contexts_->first_step,
                    zigzag(int64_t{cells[first].step} - int64_t{first_step_}));
        first_step_ = cells[first].step;
        shares_.assign(highest - lowest + 1, 1);
        uint64_t failed = 1;
        uint64_t good = 1;
        uint64_t gap = 0;
        for (size_t i = first; i < end; ++i) {
            const RollupCell& cell = cells[i];
            if (i > first) {
                const size_t context = SeriesContexts::class_of_gap(gap);
                gap = cell.step - cells[i - 1].step - 1;
                out_.number(contexts_->gaps[context], gap);
            }
            write(contexts_->spans, i > first ? totals_.expected_spans(cells[i - 1], cell.step) : 0,
                  cell.count);
            totals_.add(cell.step, cell.count);
            write(contexts_->errors, expected(cell.count, failed, failed + good), cell.errors);
            add_to_share(failed, cell.errors);
            add_to_share(good, cell.count - cell.errors);
        }
        totals_.finish_operation();
        for (size_t i = first; i < end;) {
            const size_t next = end_of_durations(cells, section_.detail.steps, i, end);
            write_durations(i, next, lowest);
            if (has_sizes_) write_sizes(i, next);
            i = next;
        }
        sizes_.finish_operation();
    }

    void write_sizes(size_t first, size_t end) {
        uint64_t spans = 0;
        uint64_t bytes = 0;
        for (size_t i = first; i < end; ++i) {
            spans += section_.cells[i].count;
            bytes += section_.cells[i].bytes;
        }
        const uint32_t bucket = SizeShares::bucket_of(std::min(bytes, kBytesMax / 2), spans);
        out_.number(contexts_->sizes[SeriesContexts::class_of_size(spans)],
                    zigzag(int64_t{bucket} - int64_t{sizes_.expected()}));
        sizes_.add(bucket, spans);
    }

    // Of all of these cells together.
    void write_durations(size_t first, size_t end, uint32_t lowest) {
        counts_.assign(shares_.size(), 0);
        uint64_t left = 0;
        for (size_t i = first; i < end; ++i) {
            const RollupCell& cell = section_.cells[i];
            left += cell.count;
            for (uint32_t at = 0; at < cell.buckets; ++at)
                counts_[bucket(cell.first_bucket + at) - lowest] +=
                    section_.buckets[cell.first_bucket + at].second;
        }
        uint64_t shares_left = 0;
        for (const uint64_t share : shares_)
            shares_left += share;
        for (size_t i = 0; i < shares_.size(); ++i) {
            // The last one has what is left.
            if (left > 0 && i + 1 < shares_.size())
                write(contexts_->buckets, expected(left, shares_[i], shares_left), counts_[i]);
            left -= counts_[i];
            shares_left -= shares_[i];
            add_to_share(shares_[i], counts_[i]);
        }
    }

    void write(std::array<NumberContext, SeriesContexts::kClasses>& contexts, double expectation,
               uint64_t value) {
        const auto near = static_cast<int64_t>(expectation + 0.5);
        out_.number(contexts[SeriesContexts::class_of(expectation)],
                    zigzag(static_cast<int64_t>(value) - near));
    }

    const RollupSection& section_;
    const bool has_sizes_;
    const std::unique_ptr<SeriesContexts> contexts_ = std::make_unique<SeriesContexts>();
    NumberEncoder out_;
    StepTotals totals_;
    SizeShares sizes_;
    std::vector<uint64_t> shares_;  // of buckets
    std::vector<uint64_t> counts_;
    uint32_t first_step_ = 0;
};

// How many one span stands for, where that differs from the cell before of the same operation
// (before the first: 1).
void write_weights(const RollupSection& section, store::ByteWriter& out) {
    std::vector<std::pair<size_t, float>> weights;
    float ratio = 1;
    for (size_t i = 0; i < section.cells.size(); ++i) {
        const RollupCell& cell = section.cells[i];
        if (i > 0 && cell.operation != section.cells[i - 1].operation) ratio = 1;
        const auto own = static_cast<float>(cell.weighted / static_cast<double>(cell.count));
        if (own == ratio) continue;
        ratio = own;
        weights.emplace_back(i, ratio);
    }
    out.varint(weights.size());
    size_t before = 0;
    for (const auto& [cell, weight] : weights) {
        out.varint(cell - before);
        out.u32(std::bit_cast<uint32_t>(weight));
        before = cell;
    }
}

// ---- reading

// How many one span stands for from a cell on, until another is said or the operation ends.
using WeightChanges = std::vector<std::pair<uint64_t, float>>;

class SeriesReader {
  public:
    SeriesReader(std::string_view bytes, bool has_sizes, const WeightChanges& weights,
                 PackedRollup& section)
        : in_(bytes),
          has_sizes_(has_sizes),
          limit_(parts_max(bytes.size())),
          weights_(weights),
          section_(section),
          packer_(section) {}

    // False where the bytes are damaged.
    bool run() {
        const auto operations = static_cast<uint32_t>(section_.operations.size());
        for (uint32_t operation = 0; operation < operations; ++operation) {
            if (!read_operation(operation)) return false;
        }
        packer_.finish();
        return in_.is_at_end() && next_weight_ == weights_.size();
    }

  private:
    using Cells = std::span<RollupCell>;

    bool read_operation(uint32_t operation) {
        const uint64_t cells = in_.number(contexts_->cells);
        const uint64_t lowest = in_.number(contexts_->lowest);
        const uint64_t width = in_.number(contexts_->width);
        const int64_t step = sum_of(first_step_, unzigzag(in_.number(contexts_->first_step)));
        const uint32_t all = DurationHistogram::kBuckets >> section_.detail.merged_bits;
        if (!in_.ok() || cells == 0 || cells > limit_ - section_.cells() || lowest >= all ||
            width >= all - lowest || step < 0 || step > UINT32_MAX)
            return false;
        first_step_ = step;
        if (!read_counts(operation, cells)) return false;
        weigh();
        shares_.assign(width + 1, 1);
        for (size_t i = 0; i < cells_.size();) {
            const size_t next = end_of_durations(cells_, section_.detail.steps, i, cells_.size());
            const Cells group = Cells(cells_).subspan(i, next - i);
            uint64_t spans = 0;
            for (const RollupCell& cell : group)
                spans += cell.count;
            if (!read_durations(spans, static_cast<uint32_t>(lowest))) return false;
            if (has_sizes_ && !read_sizes(spans, group)) return false;
            if (!is_within_limits(spans, group)) return false;
            packer_.add(group, durations_);
            i = next;
        }
        sizes_.finish_operation();
        return true;
    }

    // Steps, spans and errors of all cells of an operation.
    bool read_counts(uint32_t operation, uint64_t cells) {
        uint64_t failed = 1;
        uint64_t good = 1;
        uint64_t gap = 0;
        auto now = static_cast<uint64_t>(first_step_);
        cells_.clear();
        for (uint64_t i = 0; i < cells; ++i) {
            if (i > 0) {
                gap = in_.number(contexts_->gaps[SeriesContexts::class_of_gap(gap)]);
                if (gap > UINT32_MAX) return false;
                now += gap + 1;
            }
            RollupCell cell;
            cell.operation = operation;
            cell.step = static_cast<uint32_t>(now);
            const double spans = i > 0 ? totals_.expected_spans(cells_.back(), cell.step) : 0;
            if (!read(contexts_->spans, spans, kCountMax, cell.count) ||
                !read(contexts_->errors, expected(cell.count, failed, failed + good), cell.count,
                      cell.errors) ||
                now > UINT32_MAX || cell.count == 0)
                return false;
            totals_.add(cell.step, cell.count);
            add_to_share(failed, cell.errors);
            add_to_share(good, cell.count - cell.errors);
            cells_.push_back(cell);
        }
        totals_.finish_operation();
        return true;
    }

    void weigh() {
        double ratio = 1;
        uint64_t number = section_.cells();
        for (RollupCell& cell : cells_) {
            for (; next_weight_ < weights_.size() && weights_[next_weight_].first == number;
                 ++next_weight_)
                ratio = static_cast<double>(weights_[next_weight_].second);
            cell.weighted = static_cast<double>(cell.count) * ratio;
            ++number;
        }
    }

    bool read_sizes(uint64_t spans, Cells group) {
        const int64_t bucket =
            sum_of(sizes_.expected(),
                   unzigzag(in_.number(contexts_->sizes[SeriesContexts::class_of_size(spans)])));
        if (!in_.ok() || bucket < 0 || bucket >= DurationHistogram::kBuckets) return false;
        const uint64_t bytes = SizeShares::bytes_of(static_cast<uint32_t>(bucket));
        if (bytes > kBytesMax / spans) return false;
        sizes_.add(static_cast<uint32_t>(bucket), spans);
        for (RollupCell& cell : group)
            cell.bytes = cell.count * bytes;
        return true;
    }

    // Of so many spans together.
    bool read_durations(uint64_t spans, uint32_t lowest) {
        const uint32_t bits = section_.detail.merged_bits;
        const uint32_t middle = bits > 0 ? 1U << (bits - 1) : 0;
        uint64_t left = spans;
        uint64_t shares_left = 0;
        for (const uint64_t share : shares_)
            shares_left += share;
        durations_.clear();
        for (uint32_t i = 0; i < shares_.size(); ++i) {
            uint64_t count = left;
            if (left > 0 && i + 1 < shares_.size() &&
                !read(contexts_->buckets, expected(left, shares_[i], shares_left), left, count))
                return false;
            left -= count;
            shares_left -= shares_[i];
            add_to_share(shares_[i], count);
            if (count > 0) durations_.push_back({(lowest + i) << bits | middle, count});
        }
        return true;
    }

    // Of what its cells have once each has its share.
    bool is_within_limits(uint64_t spans, Cells group) {
        parts_ += std::min<uint64_t>(durations_.size() * group.size(), spans);
        const auto is_small = [](const auto& part) { return part.count <= UINT32_MAX; };
        return parts_ <= limit_ && (std::all_of(durations_.begin(), durations_.end(), is_small) ||
                                    std::all_of(group.begin(), group.end(), is_small));
    }

    bool read(std::array<NumberContext, SeriesContexts::kClasses>& contexts, double expectation,
              uint64_t limit, uint64_t& value) {
        const auto near = static_cast<int64_t>(expectation + 0.5);
        const int64_t found =
            sum_of(near, unzigzag(in_.number(contexts[SeriesContexts::class_of(expectation)])));
        if (!in_.ok() || found < 0 || static_cast<uint64_t>(found) > limit) return false;
        value = static_cast<uint64_t>(found);
        return true;
    }

    NumberDecoder in_;
    const bool has_sizes_;
    StepTotals totals_;
    SizeShares sizes_;
    const uint64_t limit_;
    uint64_t parts_ = 0;
    const WeightChanges& weights_;
    size_t next_weight_ = 0;
    PackedRollup& section_;
    RollupPacker packer_;
    const std::unique_ptr<SeriesContexts> contexts_ = std::make_unique<SeriesContexts>();
    std::vector<uint64_t> shares_;
    std::vector<RollupCell> cells_;  // of the operation
    std::vector<BucketCount> durations_;
    int64_t first_step_ = 0;
};

bool read_weights(store::ByteReader& in, WeightChanges& weights) {
    const uint64_t count = in.varint();
    uint64_t cell = 0;
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
        cell += in.varint_max(UINT32_MAX);
        const auto ratio = std::bit_cast<float>(in.u32());
        if (!std::isfinite(ratio) || !(ratio > 0)) return false;
        weights.emplace_back(cell, ratio);
    }
    return in.ok() && in.at_end();
}

}  // namespace

std::string encode_series(const RollupSection& section) {
    std::string bytes;
    if (section.cells.empty()) return bytes;
    store::ByteWriter out(bytes);
    out.u8(kSeriesVersion);
    out.u8(section.detail.merged_bits);
    out.u8(section.detail.steps);
    out.u8(section.has_sizes() ? 1 : 0);
    std::string operations;
    store::ByteWriter operations_out(operations);
    write_operations(section.services, section.operations, operations_out);
    std::string body;
    store::encode_bytes(operations, kZstdLevel, body);
    out.text(body);
    out.text(SeriesWriter(section).run());
    write_weights(section, out);
    return bytes;
}

Result<PackedRollup> decode_series(uint8_t version, std::string_view bytes, uint32_t step_s) {
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "rollup: the section is damaged"); };
    PackedRollup section;
    section.step_s = step_s;
    store::ByteReader in(bytes);
    section.detail = {in.u8(), in.u8()};
    const bool has_sizes = version != kSeriesVersionBefore && in.u8() != 0;
    const std::string_view operations = in.text();
    const std::string_view numbers = in.text();
    if (!in.ok() || section.detail.merged_bits > DurationDetail::kMergedBitsMax ||
        section.detail.steps == 0 || section.detail.steps > DurationDetail::kStepsMax)
        return broken();
    TRY_ASSIGN(const Blob names, store::decode_bytes(operations));
    store::ByteReader names_in(names.view());
    if (!read_operations(names_in, section) || !names_in.at_end()) return broken();
    WeightChanges weights;
    if (!read_weights(in, weights) || !SeriesReader(numbers, has_sizes, weights, section).run())
        return broken();
    return section;
}

}  // namespace spanloom
