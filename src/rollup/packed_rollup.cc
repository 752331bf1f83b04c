#include "rollup/packed_rollup.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "store/segment_bytes.h"

namespace spanloom {
namespace {

// What a group says: flags (u8); operation, as difference; how many cells; weight and mean bytes of
// a span where all cells have the same; then each cell: difference to the step of the cell before
// (modulo 2^32), count, errors, weight, bytes; then how many bytes durations take, and these: of
// each bucket (count - 1) * 8 + gap to the one before (7: and this gap less 7).
constexpr uint8_t kNewOperation = 1;
constexpr uint8_t kManyCells = 2;
constexpr uint8_t kErrors = 4;  // else of failed operations all spans, of others none
constexpr uint8_t kWeight = 8;  // how many a span stands for; else 1
constexpr uint8_t kWeights = 16;
constexpr uint8_t kMeanBytes = 32;
constexpr uint8_t kBytes = 64;

constexpr uint32_t kGapBits = 3;
constexpr uint64_t kGapMost = (1U << kGapBits) - 1;
// Below it products of two of them, doubled, are exact in 64 bits.
constexpr uint64_t kPlainMost = 1ULL << 31;
__extension__ using Wide = unsigned __int128;

double weight_of(const RollupCell& cell) {
    return cell.count == 0 ? 1 : cell.weighted / static_cast<double>(cell.count);
}

uint8_t weight_flag(std::span<const RollupCell> cells) {
    const double weight = weight_of(cells.front());
    const auto says = [&](double of_span) {
        return std::all_of(cells.begin(), cells.end(), [&](const RollupCell& cell) {
            return cell.weighted == static_cast<double>(cell.count) * of_span;
        });
    };
    if (says(1)) return 0;
    return says(weight) ? kWeight : kWeights;
}

uint8_t bytes_flag(std::span<const RollupCell> cells) {
    const RollupCell& first = cells.front();
    const uint64_t mean = first.count == 0 ? 0 : first.bytes / first.count;
    const bool is_mean = std::all_of(cells.begin(), cells.end(), [&](const RollupCell& cell) {
        return cell.bytes == cell.count * mean;
    });
    if (!is_mean) return kBytes;
    return mean == 0 ? 0 : kMeanBytes;
}

bool says_errors(const RollupOperation& operation, std::span<const RollupCell> cells) {
    return std::any_of(cells.begin(), cells.end(), [&](const RollupCell& cell) {
        return cell.errors != (operation.is_error ? cell.count : 0);
    });
}

// `passed` * `count` / `left`, rounded, where neither is more than `left`.
class ShareOf {
  public:
    ShareOf(uint64_t count, uint64_t left)
        : count_(count), left_(left), part_(1.0 / (2.0 * static_cast<double>(left))) {}

    uint64_t operator()(uint64_t passed) const {
        if (left_ >= kPlainMost)
            return static_cast<uint64_t>((Wide{passed} * count_ * 2 + left_) / (Wide{left_} * 2));
        const uint64_t sum = passed * count_ * 2 + left_;
        const uint64_t divisor = left_ * 2;
        auto share = static_cast<uint64_t>(
            static_cast<int64_t>(static_cast<double>(static_cast<int64_t>(sum)) * part_));
        // The double is one off at most.
        share -= share * divisor > sum ? 1 : 0;
        share += (share + 1) * divisor <= sum ? 1 : 0;
        return share;
    }

  private:
    uint64_t count_;
    uint64_t left_;
    double part_;
};

}  // namespace

size_t PackedRollup::memory_bytes() const {
    size_t bytes = sizeof *this + bytes_.capacity() + services.capacity() * sizeof(std::string) +
                   operations.capacity() * sizeof(RollupOperation);
    for (const auto& service : services)
        bytes += service.capacity();
    for (const auto& operation : operations)
        bytes += operation.name.capacity();
    return bytes;
}

// ---- packing

void RollupPacker::add(std::span<const RollupCell> cells, std::span<const BucketCount> durations) {
    const RollupCell& first = cells.front();
    uint8_t flags = weight_flag(cells) | bytes_flag(cells);
    if (to_.cells_ == 0 || first.operation != operation_) flags |= kNewOperation;
    if (cells.size() > 1) flags |= kManyCells;
    if (says_errors(to_.operations[first.operation], cells)) flags |= kErrors;
    store::ByteWriter out(to_.bytes_);
    out.u8(flags);
    if ((flags & kNewOperation) != 0) out.varint(first.operation - operation_);
    if ((flags & kManyCells) != 0) out.varint(cells.size());
    if ((flags & kWeight) != 0) out.u64(std::bit_cast<uint64_t>(weight_of(first)));
    if ((flags & kMeanBytes) != 0) out.varint(first.bytes / first.count);
    write_cells(cells, flags);
    write_durations(durations);
    operation_ = first.operation;
    to_.cells_ += cells.size();
}

void RollupPacker::write_cells(std::span<const RollupCell> cells, uint8_t flags) {
    store::ByteWriter out(to_.bytes_);
    for (const RollupCell& cell : cells) {
        out.varint(cell.step - step_);
        out.varint(cell.count);
        if ((flags & kErrors) != 0) out.varint(cell.errors);
        if ((flags & kWeights) != 0) out.u64(std::bit_cast<uint64_t>(cell.weighted));
        if ((flags & kBytes) != 0) out.varint(cell.bytes);
        step_ = cell.step;
    }
}

void RollupPacker::write_durations(std::span<const BucketCount> durations) {
    durations_.clear();
    store::ByteWriter out(durations_);
    uint32_t next = 0;
    for (const auto& [bucket, count] : durations) {
        const uint64_t gap = bucket - next;
        out.varint((count - 1) << kGapBits | std::min(gap, kGapMost));
        if (gap >= kGapMost) out.varint(gap - kGapMost);
        next = bucket + 1;
    }
    store::ByteWriter(to_.bytes_).text(durations_);
}

// ---- reading

PackedGroups::PackedGroups(const PackedRollup& from)
    : section_(from), at_(from.bytes_.data()), end_(at_ + from.bytes_.size()) {}

// The bytes are our own: nobody else wrote them.
uint64_t PackedGroups::varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0;; shift += 7) {
        const auto byte = static_cast<uint8_t>(*at_++);
        value |= uint64_t{byte & 0x7fU} << shift;
        if (byte < 0x80) return value;
    }
}

double PackedGroups::number() {
    double value = 0;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
}

bool PackedGroups::next() {
    if (at_ == end_) return false;
    const auto flags = static_cast<uint8_t>(*at_++);
    if ((flags & kNewOperation) != 0) operation_ += static_cast<uint32_t>(varint());
    const size_t count = (flags & kManyCells) != 0 ? varint() : 1;
    read_cells(flags, count);
    const size_t size = varint();
    packed_durations_ = {at_, size};
    at_ += size;
    durations_.clear();
    shared_ = 0;
    return true;
}

void PackedGroups::read_cells(uint8_t flags, size_t count) {
    const double weight = (flags & kWeight) != 0 ? number() : 1;
    const uint64_t mean = (flags & kMeanBytes) != 0 ? varint() : 0;
    const bool is_failed = section_.operations[operation_].is_error;
    cells_.resize(count);
    for (RollupCell& cell : cells_) {
        step_ += static_cast<uint32_t>(varint());
        cell.operation = operation_;
        cell.step = step_;
        cell.count = varint();
        cell.errors = is_failed ? cell.count : 0;
        if ((flags & kErrors) != 0) cell.errors = varint();
        cell.weighted = static_cast<double>(cell.count) * weight;
        if ((flags & kWeights) != 0) cell.weighted = number();
        cell.bytes = (flags & kBytes) != 0 ? varint() : cell.count * mean;
    }
}

std::span<const BucketCount> PackedGroups::durations() {
    if (!durations_.empty() || packed_durations_.empty()) return durations_;
    const char* const after = std::exchange(at_, packed_durations_.data());
    const char* const end = at_ + packed_durations_.size();
    uint32_t bucket = 0;
    while (at_ < end) {
        const uint64_t both = varint();
        uint64_t gap = both & kGapMost;
        if (gap == kGapMost) gap += varint();
        bucket += static_cast<uint32_t>(gap);
        durations_.push_back({bucket++, (both >> kGapBits) + 1});
    }
    at_ = after;
    return durations_;
}

std::span<const BucketCount> PackedGroups::durations_of(size_t cell) {
    if (cells_.size() == 1) return durations();
    if (shared_ == 0) start_sharing();
    while (shared_ <= cell)
        share_out(cells_[shared_++]);
    return share_;
}

std::span<const BucketCount> PackedGroups::durations_from(size_t cell) {
    return cell == 0 ? durations() : left_;
}

void PackedGroups::start_sharing() {
    const std::span<const BucketCount> all = durations();
    left_.assign(all.begin(), all.end());
    spans_left_ = 0;
    for (const BucketCount& part : all)
        spans_left_ += part.count;
}

// Gives the cell as many of the durations as it has spans, evenly.
void PackedGroups::share_out(const RollupCell& cell) {
    const ShareOf share_of(cell.count, spans_left_);
    uint64_t passed = 0;
    uint64_t taken = 0;
    size_t end = 0;
    size_t end_left = 0;
    share_.resize(left_.size());
    for (const auto [bucket, count] : left_) {
        passed += count;
        const uint64_t until = share_of(passed);
        const uint64_t own = until - taken;
        taken = until;
        share_[end] = {bucket, own};
        end += own > 0 ? 1 : 0;
        left_[end_left] = {bucket, count - own};
        end_left += count > own ? 1 : 0;
    }
    share_.resize(end);
    left_.resize(end_left);
    spans_left_ -= cell.count;
}

// ---- longer steps

namespace {

// Sums of one operation, step by step, as they become whole. One thread.
class LongerSteps {
  public:
    explicit LongerSteps(RollupPacker& to) : to_(to) {}

    void add(RollupCell cell, uint32_t step) {
        if (sum_.count != 0 && (cell.operation != sum_.operation || step != sum_.step)) leave();
        sum_.operation = cell.operation;
        sum_.step = step;
        sum_.count += cell.count;
        sum_.errors += cell.errors;
        sum_.weighted += cell.weighted;
        sum_.bytes += cell.bytes;
    }
    // Of spans that were added last.
    void add_durations(std::span<const BucketCount> durations) { durations_.add(durations); }

    void leave() {
        if (sum_.count == 0) return;
        buckets_.clear();
        for (const auto& [bucket, count] : durations_.buckets())
            buckets_.push_back({bucket, count});
        to_.add({&sum_, 1}, buckets_);
        sum_ = {};
        durations_ = {};
    }

  private:
    RollupPacker& to_;
    RollupCell sum_;
    DurationHistogram durations_;
    std::vector<BucketCount> buckets_;
};

}  // namespace

PackedRollup in_longer_steps(const PackedRollup& section, uint32_t step_s) {
    PackedRollup to;
    static_cast<RollupFacts&>(to) = section;
    to.step_s = step_s;
    to.detail.steps = 1;
    RollupPacker packer(to);
    LongerSteps sums(packer);
    const uint32_t longer = step_s / section.step_s;
    for (PackedGroups groups(section); groups.next();) {
        const auto cells = groups.cells();
        const bool is_together = cells.front().step / longer == cells.back().step / longer;
        for (size_t i = 0; i < cells.size(); ++i) {
            sums.add(cells[i], cells[i].step / longer);
            if (!is_together) sums.add_durations(groups.durations_of(i));
        }
        if (is_together) sums.add_durations(groups.durations());
    }
    sums.leave();
    packer.finish();
    return to;
}

// ---- cell by cell

PackedRollup pack(const RollupSection& section) {
    PackedRollup packed;
    static_cast<RollupFacts&>(packed) = section;
    RollupPacker packer(packed);
    std::vector<BucketCount> durations;
    for (const RollupCell& cell : section.cells) {
        durations.clear();
        for (uint32_t i = 0; i < cell.buckets; ++i) {
            const auto& [bucket, count] = section.buckets[cell.first_bucket + i];
            durations.push_back({bucket, count});
        }
        packer.add({&cell, 1}, durations);
    }
    packer.finish();
    return packed;
}

RollupSection unpack(const PackedRollup& packed) {
    RollupSection section;
    static_cast<RollupFacts&>(section) = packed;
    for (PackedGroups groups(packed); groups.next();) {
        for (size_t i = 0; i < groups.cells().size(); ++i) {
            RollupCell& cell = section.cells.emplace_back(groups.cells()[i]);
            cell.first_bucket = static_cast<uint32_t>(section.buckets.size());
            for (const auto& [bucket, count] : groups.durations_of(i))
                section.buckets.emplace_back(static_cast<uint16_t>(bucket),
                                             static_cast<uint32_t>(count));
            cell.buckets = static_cast<uint32_t>(section.buckets.size()) - cell.first_bucket;
        }
    }
    return section;
}

}  // namespace spanloom
