#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "rollup/operation_rollup.h"

namespace spanloom {

// Spans as they were received, or each as many as it stands for where senders or rules sampled.
enum class SpanWeights : uint8_t { kRaw, kAdjusted };

// Spans and their durations between two points in time, in parts of minutes where the points lie
// inside one.
struct WindowCounts {
    double spans = 0;
    double errors = 0;
    double duration_s = 0;                             // summed up, within 3.2 %
    double bytes = 0;                                  // of their messages as they came
    std::vector<std::pair<uint32_t, double>> buckets;  // of DurationHistogram, ascending
    // Of these, those of failed spans.
    double errors_duration_s = 0;
    double errors_bytes = 0;
    std::vector<std::pair<uint32_t, double>> error_buckets;

    void add(const WindowCounts& other);
    // In seconds, of q in [0, 1]; NaN where nothing is counted.
    double quantile_s(double q) const;
};

// What operations did, step by step, for rates and quantiles over windows of any length: the counts
// of a step are taken as spread evenly over it. One thread.
class StepTable {
  public:
    // Steps of all operations together that are kept; what is over is left out and said.
    static constexpr size_t kStepsMax = 500'000;

    struct Step {
        uint64_t spans = 0;
        uint64_t errors = 0;
        double weighted = 0;  // sum of adjusted counts
        uint64_t bytes = 0;   // of spans' messages; 0 in what older versions counted
        uint64_t errors_bytes = 0;
        DurationHistogram durations;
        DurationHistogram error_durations;  // of them; not of what older versions counted

        // A cell of failed spans, or of others; how long they took is added apart.
        void add(const RollupCell& cell, bool is_error);
        void add_durations(std::span<const BucketCount> of_spans, bool is_error);
        void add(const Step& more);
        // Of one of its spans, on average.
        double weight() const { return spans == 0 ? 1 : weighted / static_cast<double>(spans); }
    };
    struct Operation {
        std::string service;
        std::string name;
        otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
        // By how long they are, in seconds, and their number since 1970. Those of one time may be
        // of several lengths: what is old is counted in longer ones.
        std::map<uint32_t, std::map<uint32_t, Step>> steps;

        bool empty() const { return steps.empty(); }
        bool has_errors() const;
        uint64_t spans() const;
        void add(const Operation& more);

        // Of (from, to]. The step that `now` lies in ends there.
        WindowCounts window(uint64_t from_ns, uint64_t to_ns, uint64_t now_ns, bool with_durations,
                            SpanWeights weights = SpanWeights::kRaw) const;
    };

    // How long spans took takes most of the time and memory, where a question asks for it.
    enum class Durations : uint8_t { kLeftOut, kCounted };

    // Steps of which any part lies in the range; `step_s`: how long the shortest ones are to be.
    // Beyond a minute the range is of whole ones, but for the last.
    explicit StepTable(store::TimeRange range, uint32_t step_s = kMinuteStepS,
                       Durations durations = Durations::kCounted)
        : range_(range), step_s_(step_s), durations_(durations) {}

    // All spans there ever were. Steps that are shorter than a minute are counted from the spans
    // of segments.
    void add(const store::CountedParts& parts, RollupCache& cache);
    // By service, name, kind.
    std::vector<const Operation*> operations() const;
    // Why something is missing; empty: nothing is.
    const std::string& reason() const { return reason_; }

  private:
    using Key = std::tuple<std::string, std::string, otlp::SpanKind>;

    void add(const PackedRollup& section);
    void add(const PackedRollup& section, PackedGroups& group);
    Step* step_of(Operation& operation, uint32_t step_s, uint32_t number);

    const store::TimeRange range_;
    const uint32_t step_s_;
    const Durations durations_;
    std::map<Key, Operation> operations_;
    size_t steps_ = 0;
    std::string reason_;
};

}  // namespace spanloom
