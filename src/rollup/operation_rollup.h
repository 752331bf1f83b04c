#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "rollup/duration_histogram.h"
#include "rollup/packed_rollup.h"
#include "rollup/span_counts.h"
#include "store/search.h"
#include "store/segment.h"
#include "store/stored_counts.h"

namespace spanloom {

// Counts rows by minute, service, operation and kind: what segments are built and merged with.
store::RollupFunction make_operation_rollup();

// Counts of a segment, as bytes: as it keeps them where the step is a minute, else of its spans.
Result<std::string> rollup_of(const store::Segment& segment, uint32_t step_s);

// Rate, errors and durations of one service or operation in a step, or over all of them.
struct OperationCounts {
    uint64_t spans = 0;
    uint64_t errors = 0;
    double weighted = 0;  // spans that these stand for, where senders sampled
    uint64_t p50_ns = 0;  // of the spans counted, within 3.2 %; 0 where there are none
    uint64_t p95_ns = 0;
    uint64_t p99_ns = 0;
};

struct OperationSeries {
    std::string service;
    std::string name;  // empty for a whole service
    otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
    OperationCounts total;
    std::vector<OperationCounts> steps;
};

// Sections of segments, and files of counts, decoded, so that Home does not decode them again at
// every call. Forgets what was used longest ago, and what segments that are gone had. Any thread.
class RollupCache {
  public:
    explicit RollupCache(size_t bytes_max = 64U << 20) : bytes_max_(bytes_max) {}

    // Steps of a minute are what the segment keeps; shorter ones are counted from its spans.
    Result<std::shared_ptr<const PackedRollup>> section(
        const std::shared_ptr<const store::Segment>& segment, uint32_t step_s = kMinuteStepS);
    Result<std::shared_ptr<const SpanCounts>> counts(
        const std::shared_ptr<const store::StoredCounts>& file);
    // Its operations, in steps of so many seconds where the file's are shorter and fit in: these
    // are kept instead, as they take little. 0: as the file has them.
    Result<std::shared_ptr<const PackedRollup>> operations(
        const std::shared_ptr<const store::StoredCounts>& file, uint32_t step_s);
    size_t bytes() const;

  private:
    struct Entry {
        std::weak_ptr<const void> owner;
        uint32_t step_s = 0;  // 0: as the file has them
        std::shared_ptr<const SpanCounts> counts;
    };

    std::shared_ptr<const SpanCounts> find(const std::shared_ptr<const void>& owner,
                                           uint32_t step_s);
    void insert(const std::shared_ptr<const void>& owner, uint32_t step_s,
                std::shared_ptr<const SpanCounts> counts);

    const size_t bytes_max_;
    mutable std::mutex mutex_;
    std::list<Entry> entries_;  // used last first
    size_t bytes_ = 0;
};

// Sums sections up over a range: a minute (of long ago: an hour) counts where any of it lies in the
// range. Spans count in the step in which they start, as they were received
// (raw); resends that segments have not merged yet count again. One thread.
class OperationRollup {
  public:
    // Operations (service, name, kind) told apart; what is over counts as kOtherOperation.
    static constexpr size_t kOperationsMax = 20'000;
    static constexpr uint32_t kStepsMax = 2'000;

    // A step of 0, or one that would make more than kStepsMax, becomes the least whole number of
    // minutes that fits. An unlimited range has one step.
    OperationRollup(store::TimeRange range, uint64_t step_ns);

    void add(const PackedRollup& section);
    // All spans there ever were. What cannot be read is left out and said in reason().
    void add(const store::CountedParts& parts, RollupCache& cache);

    uint64_t first_step_ns() const { return first_ns_; }
    uint64_t step_ns() const { return step_ns_; }
    uint32_t step_count() const { return steps_; }
    uint64_t overflowed() const { return overflowed_; }  // spans counted as kOtherOperation here
    const std::string& reason() const { return reason_; }

    // By name. A service's numbers are those of its entry spans, kind server or consumer, each
    // being one request to it; of all its spans where it has none of these.
    std::vector<OperationSeries> services() const;
    // Its operations by name, then kind.
    std::vector<OperationSeries> operations(std::string_view service) const;

  private:
    struct StepSum {
        uint64_t errors = 0;
        double weighted = 0;
        DurationHistogram durations;
    };
    using Key = std::tuple<std::string, std::string, otlp::SpanKind>;
    using Sums = std::map<uint32_t, StepSum>;  // by step

    Sums& sums_of(const PackedRollup& section, uint32_t operation);
    void add(const PackedRollup& section, PackedGroups& group, Sums& sums) const;
    static void add_sum(const StepSum& from, StepSum& to);
    OperationSeries series_of(std::string service, std::string name, otlp::SpanKind kind,
                              const std::vector<const Sums*>& parts) const;

    uint64_t first_ns_ = 0;
    uint64_t end_ns_ = 0;
    uint64_t step_ns_ = kRollupMinuteNs;
    uint32_t steps_ = 1;
    std::map<Key, Sums> operations_;
    const Sums* other_ = nullptr;  // what is over the limit, once something is
    uint64_t overflowed_ = 0;
    std::string reason_;
};

}  // namespace spanloom
