#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "otlp/view.h"
#include "rollup/duration_histogram.h"
#include "store/search.h"
#include "store/segment.h"

// The bytes that a segment keeps for rollups (docs/format/rollup.md).
namespace spanloom {

constexpr uint64_t kRollupMinuteNs = 60'000'000'000;
constexpr uint32_t kRollupHourMinutes = 60;  // the step of what is counted by the hour
// Operations of one segment that are told apart; the rarest beyond it count as kOtherOperation.
constexpr uint32_t kSectionOperationsMax = 20'000;
constexpr std::string_view kOtherOperation = "<other>";

// What one operation did in one minute.
struct RollupCell {
    uint32_t operation = 0;
    uint32_t minute = 0;  // since 1970
    uint64_t count = 0;
    uint64_t errors = 0;
    double weighted = 0;  // sum of adjusted counts
    uint32_t first_bucket = 0;
    uint32_t buckets = 0;
};

struct RollupOperation {
    uint32_t service = 0;  // index into services
    std::string name;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
};

// One section, decoded. Cells are ordered by operation, then minute.
struct RollupSection {
    uint32_t step_minutes = 1;  // of each cell, from its minute on
    std::vector<std::string> services;
    std::vector<RollupOperation> operations;
    std::vector<RollupCell> cells;
    std::vector<std::pair<uint16_t, uint32_t>> buckets;  // bucket and count, cell after cell

    void add_durations(const RollupCell& cell, DurationHistogram& to) const {
        for (uint32_t i = 0; i < cell.buckets; ++i)
            to.add(buckets[cell.first_bucket + i].first, buckets[cell.first_bucket + i].second);
    }
    // Some of the cell lies between them.
    bool overlaps(const RollupCell& cell, store::TimeRange range) const {
        const uint64_t from_ns = cell.minute * kRollupMinuteNs;
        return from_ns + step_minutes * kRollupMinuteNs > range.start_ns && from_ns < range.end_ns;
    }
    size_t memory_bytes() const;
};

// Empty where there are no rows.
std::string encode_rollup(const store::RollupRows& rows);
// The same of what is counted already; but for the step.
std::string encode_section(const RollupSection& section);
// kDataLoss for bytes that are not a whole section, kUnsupported for a newer version.
Result<RollupSection> decode_rollup(std::string_view bytes);

}  // namespace spanloom
