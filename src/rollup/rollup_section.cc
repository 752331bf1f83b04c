#include "rollup/rollup_section.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <unordered_map>

#include "rollup/duration_histogram.h"
#include "store/segment_bytes.h"

namespace spanloom {
namespace {

using store::ByteReader;
using store::ByteWriter;

constexpr uint8_t kVersion = 1;
constexpr uint8_t kHasErrors = 1;
constexpr uint8_t kHasWeight = 2;

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

// One cell: the rows keys[first, end).
void write_cell(const std::vector<uint64_t>& keys, size_t first, size_t end, double extra_weight,
                ByteWriter& out) {
    uint64_t errors = 0;
    uint32_t buckets = 0;
    uint64_t before = UINT64_MAX;
    for (size_t i = first; i < end; ++i) {
        errors += keys[i] & 1;
        if (keys[i] >> 1 != before) ++buckets;
        before = keys[i] >> 1;
    }
    out.u8(
        static_cast<uint8_t>((errors > 0 ? kHasErrors : 0) | (extra_weight != 0 ? kHasWeight : 0)));
    out.varint(end - first);
    if (errors > 0) out.varint(errors);
    if (extra_weight != 0) {
        out.u64(std::bit_cast<uint64_t>(static_cast<double>(end - first) + extra_weight));
    }
    out.varint(buckets);
    uint64_t bucket_before = 0;
    for (size_t i = first; i < end;) {
        size_t next = i;
        while (next < end && keys[next] >> 1 == keys[i] >> 1)
            ++next;
        const uint64_t bucket = keys[i] >> 1 & ((1U << kBucketBits) - 1);
        out.varint(bucket - bucket_before);
        out.varint(next - i);
        bucket_before = bucket;
        i = next;
    }
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
    std::sort(keys.begin(), keys.end());
    ByteWriter out(bytes);
    out.u8(kVersion);
    write_operations(operations.kept, out);
    uint64_t before = 0;
    for (size_t i = 0; i < count;) {
        const uint64_t cell = keys[i] >> (kBucketBits + 1);
        size_t end = i;
        while (end < count && keys[end] >> (kBucketBits + 1) == cell)
            ++end;
        const uint64_t operation = cell >> kMinuteBits;
        const uint64_t minute = cell & ((1ULL << kMinuteBits) - 1);
        const uint64_t operation_before = before >> kMinuteBits;
        const uint64_t minute_before = before & ((1ULL << kMinuteBits) - 1);
        out.varint(operation - operation_before);
        out.zigzag(static_cast<int64_t>(minute) - static_cast<int64_t>(minute_before));
        const auto weight = extra_weights.find(cell);
        write_cell(keys, i, end, weight == extra_weights.end() ? 0 : weight->second, out);
        before = cell;
        i = end;
    }
    return bytes;
}

Result<RollupSection> decode_rollup(std::string_view bytes) {
    RollupSection section;
    if (bytes.empty()) return section;
    ByteReader in(bytes);
    const uint8_t version = in.u8();
    if (version != kVersion) {
        return fail(ErrorCode::kUnsupported,
                    "rollup: version {} is not known here, only {}; use a newer spanloom", version,
                    kVersion);
    }
    const auto broken = [] { return fail(ErrorCode::kDataLoss, "rollup: the section is damaged"); };
    if (!read_operations(in, section)) return broken();
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
