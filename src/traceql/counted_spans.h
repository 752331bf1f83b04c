#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rollup/operation_rollup.h"
#include "store/scan.h"
#include "traceql/answer.h"
#include "traceql/ast.h"
#include "traceql/series.h"

// Metrics over spans that are not looked at: those of hours that aged, of which all are counted by
// service, name, kind and failure, though only some stayed (docs/format/counts.md).
namespace spanloom::traceql {

// Why such counts cannot answer this metric over the spans that `choosing` leaves; empty: they can.
std::string refuse_counts(std::span<const Stage> choosing, const Stage& metric);

// The files of counts that reach into the intervals of a query. One thread.
class CountedSpans {
  public:
    struct Stats {
        uint64_t spans = 0;
        uint64_t bytes = 0;  // of the files
    };

    CountedSpans(const store::CountedParts& parts, const Grid& grid, RollupCache& cache);

    size_t files() const { return files_.size(); }
    // Spans that stayed of hours that aged lie in the intervals.
    bool has_kept() const { return has_kept_; }

    // Looks into the files, several at once by the scope's helpers. kDataLoss and the like where
    // one cannot be read.
    Result<void> open(const store::ScanScope& scope);
    // After open(): why they cannot answer this in these intervals though refuse_counts() is
    // content; empty: they can.
    std::string refuse(std::span<const Stage> choosing, const Stage& metric) const;
    // Some counts reach over the ends of intervals.
    bool is_split() const { return has_split_; }
    // How the answer differs from one that all spans would give; empty: in nothing.
    std::vector<std::string> differences(const Stage& metric) const;

    // Adds what is counted to the series of the metric. `weight_max`: what the spans of one
    // operation stand for on average, at most.
    Result<Stats> add(std::span<const Stage> choosing, const Stage& metric, bool is_weighted,
                      const std::function<bool()>& is_interrupted, SeriesSet& to,
                      double& weight_max) const;

  private:
    // Some cell lies in more than one interval, or only in part in one.
    bool is_split(uint64_t begin_ns, uint64_t end_ns) const;

    Grid grid_;
    uint32_t asked_step_s_;  // the longest steps that all intervals are made of; 0: any may do
    RollupCache* cache_;
    struct File {
        std::shared_ptr<const store::StoredCounts> file;
        std::shared_ptr<const PackedRollup> operations;  // kept from open() on where there is room
    };
    Result<std::shared_ptr<const PackedRollup>> read(const File& file) const;
    void look_into(const PackedRollup& section);

    std::vector<File> files_;
    bool has_kept_ = false;
    uint64_t kept_from_ns_ = UINT64_MAX;  // the first of those
    uint64_t known_from_ns_ = UINT64_MAX;
    uint32_t step_s_ = 0;  // the longest
    bool has_split_ = false;
    bool has_other_ = false;             // operations that are not told apart
    bool has_unnamed_failures_ = false;  // failed spans are among the others
    DurationDetail detail_;              // the least exact
};

// Whether counts stand in for the spans that aged: in every part of a query or in none, so that
// parts fit each other.
struct CountsChoice {
    std::optional<CountedSpans> counted;  // they do: beside them count only `parts.segments`
    store::CountedParts parts;
    bool is_exact = true;      // else what aged is estimated
    std::string note;          // why it is
    bool is_of_query = false;  // that is for what is asked, not for what is there
};
CountsChoice choose_counts(const Query& query, const MetricsOptions& options, const Grid& grid);

// Where the metric of such a pipeline is.
size_t metric_in(const std::vector<Stage>& stages);

}  // namespace spanloom::traceql
