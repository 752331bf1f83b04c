#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "rollup/operation_rollup.h"

namespace spanloom {

// Spans and their durations between two points in time, in parts of minutes where the points lie
// inside one.
struct WindowCounts {
    double spans = 0;
    double errors = 0;
    double duration_s = 0;                             // summed up, within 3.2 %
    std::vector<std::pair<uint32_t, double>> buckets;  // of DurationHistogram, ascending

    void add(const WindowCounts& other);
    // In seconds, of q in [0, 1]; NaN where nothing is counted.
    double quantile_s(double q) const;
};

// What operations did, minute by minute (of long ago: hour by hour), for rates and quantiles over
// windows of any length: the counts of a minute are taken as spread evenly over it. One thread.
class MinuteTable {
  public:
    // Minutes of all operations together that are kept; what is over is left out and said.
    static constexpr size_t kMinutesMax = 500'000;

    struct Minute {
        uint64_t spans = 0;
        uint64_t errors = 0;
        DurationHistogram durations;

        void add(const RollupSection& section, const RollupCell& cell);
    };
    struct Operation {
        std::string service;
        std::string name;
        otlp::SpanKind kind = otlp::SpanKind::kUnspecified;
        std::map<uint32_t, Minute> minutes;  // since 1970
        // Of long ago, by the minute with which each begins.
        std::map<uint32_t, Minute> hours;

        bool empty() const { return minutes.empty() && hours.empty(); }
        bool has_errors() const;
        // Where cells of such a section belong.
        std::map<uint32_t, Minute>& parts_of(const RollupSection& section) {
            return section.step_minutes == 1 ? minutes : hours;
        }

        // Of (from, to]. The minute that `now` lies in ends there.
        WindowCounts window(uint64_t from_ns, uint64_t to_ns, uint64_t now_ns,
                            bool with_durations) const;
    };

    // Minutes of which any part lies in the range.
    explicit MinuteTable(store::TimeRange range) : range_(range) {}

    // All spans there ever were.
    void add(const store::CountedParts& parts, RollupCache& cache);
    // By service, name, kind.
    std::vector<const Operation*> operations() const;
    // Why something is missing; empty: nothing is.
    const std::string& reason() const { return reason_; }

  private:
    using Key = std::tuple<std::string, std::string, otlp::SpanKind>;

    void add(const RollupSection& section);

    const store::TimeRange range_;
    std::map<Key, Operation> operations_;
    size_t minutes_ = 0;
    std::string reason_;
};

}  // namespace spanloom
