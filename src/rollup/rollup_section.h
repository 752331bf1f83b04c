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

constexpr uint64_t kRollupSecondNs = 1'000'000'000;
// How long steps are, in seconds: of spans that are stored, and for a while of those that are gone,
// ten seconds; then, as of segments' own counts, a minute; of long ago an hour.
constexpr uint32_t kShortStepS = 10;
constexpr uint32_t kMinuteStepS = 60;
constexpr uint32_t kHourStepS = 3600;
constexpr uint64_t kRollupMinuteNs = kMinuteStepS * kRollupSecondNs;
constexpr bool is_rollup_step(uint64_t step_s) {
    return step_s == kShortStepS || step_s == kMinuteStepS || step_s == kHourStepS;
}

// How much of durations is known.
struct DurationDetail {
    static constexpr uint8_t kMergedBitsMax = 4;
    static constexpr uint8_t kStepsMax = 24;
    // How many of the lowest bits of buckets say nothing: 2^n neighbours are one, known by the one
    // in the middle.
    uint8_t merged_bits = 0;
    // Of so many steps together (those of one step / steps); each has its share of them.
    uint8_t steps = 1;
    bool operator==(const DurationDetail&) const = default;
};

// Operations of one segment that are told apart; the rarest beyond it count as kOtherOperation.
constexpr uint32_t kSectionOperationsMax = 20'000;
constexpr std::string_view kOtherOperation = "<other>";

// What one operation did in one step.
struct RollupCell {
    uint32_t operation = 0;
    uint32_t step = 0;  // of the section's length, since 1970
    uint64_t count = 0;
    uint64_t errors = 0;
    double weighted = 0;  // sum of adjusted counts
    uint64_t bytes = 0;   // of the spans' messages as they came; 0 in what older versions wrote
    uint32_t first_bucket = 0;  // of a section's buckets
    uint32_t buckets = 0;
};

struct RollupOperation {
    uint32_t service = 0;  // index into services
    std::string name;
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    // Its spans failed; the others are another operation. In what older versions wrote failed spans
    // are among the others.
    bool is_error = false;
};

// Which operations cells are of, and what their steps are.
struct RollupFacts {
    uint32_t step_s = kMinuteStepS;
    DurationDetail detail;
    std::vector<std::string> services;
    std::vector<RollupOperation> operations;  // ordered by service, name, kind, status

    const std::string& service_of(uint32_t operation) const {
        return services[operations[operation].service];
    }
    // Some of the cell lies between them.
    bool overlaps(const RollupCell& cell, store::TimeRange range) const {
        const uint64_t from_ns = begin_ns(cell);
        return from_ns + step_s * kRollupSecondNs > range.start_ns && from_ns < range.end_ns;
    }
    uint64_t begin_ns(const RollupCell& cell) const {
        return uint64_t{cell.step} * step_s * kRollupSecondNs;
    }
};

// One section that is written, or looked into cell by cell; what is kept for questions is packed
// (packed_rollup.h). Cells are ordered by operation, then step.
struct RollupSection : RollupFacts {
    std::vector<RollupCell> cells;
    std::vector<std::pair<uint16_t, uint32_t>> buckets;  // bucket and count, cell after cell

    // False where older versions counted all of it, and of edges.
    bool has_sizes() const;
};

// Empty where there are no rows.
std::string encode_rollup(const store::RollupRows& rows, uint32_t step_s = kMinuteStepS);
// The same of what is counted already. Where operations are not by status, as those of edges, how
// many failed is written cell by cell.
std::string encode_section(const RollupSection& section);
// How many cells encode_rollup() has written.
Result<uint64_t> count_cells(std::string_view bytes);

}  // namespace spanloom
