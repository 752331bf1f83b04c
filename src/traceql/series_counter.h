#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "traceql/counted_spans.h"
#include "traceql/series.h"
#include "traceql/series_sink.h"

namespace spanloom::traceql {

// Counts one metric.
class SeriesCounter {
  public:
    SeriesCounter(const Stage& metric, const Grid& grid, bool is_weighted, uint32_t exemplars,
                  MemoryShare& memory)
        : set_(metric, grid, memory), sink_(metric, grid, is_weighted, exemplars, set_) {
        set_.set_exemplars(exemplars);
    }

    SpanSink& sink() { return sink_; }
    void add(SeriesCounter&& other) {
        set_.add(std::move(other.set_));
        weight_max_ = std::max(weight_max_, other.weight_max());
    }
    // What is counted already.
    Result<CountedSpans::Stats> add(const CountedSpans& counted, std::span<const Stage> choosing,
                                    const Stage& metric, bool is_weighted,
                                    const std::function<bool()>& is_interrupted) {
        return counted.add(choosing, metric, is_weighted, is_interrupted, set_, weight_max_);
    }
    void add_exemplars(SeriesCounter&& other) { set_.add_exemplars(std::move(other.set_)); }
    bool is_full() const { return set_.is_full(); }
    double weight_max() const { return std::max(weight_max_, sink_.weight_max()); }
    std::vector<Series> finish(const Sharing& share) const { return set_.finish(share); }

  private:
    SeriesSet set_;
    SeriesSink sink_;
    double weight_max_ = 1;
};

}  // namespace spanloom::traceql
