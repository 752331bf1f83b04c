#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "store/trace_stream.h"
#include "traceql/pipeline.h"
#include "traceql/planner.h"
#include "traceql/stored_rows.h"

namespace spanloom::traceql {

// The spans of one trace in one of several segments.
struct TracePart {
    uint32_t segment = 0;  // index
    store::TraceFragment fragment;
};

// Which traces a checked query finds, for those who decide about all of them. The query and the
// segments outlive it. One thread; blocks while it reads.
class TraceMatch {
  public:
    // `stop` is asked now and then; kCancelled where it says so.
    TraceMatch(const Query& query, store::Segments segments, size_t memory_bytes_max,
               std::function<bool()> stop);
    ~TraceMatch();

    // Whether a trace is found just where one of its fragments is: no part of it asks for more.
    bool is_by_fragment() const { return plan_.is_exact && plan_.spans_min <= 1; }
    // A flag for each fragment of a segment: without one a trace is not found.
    Result<std::vector<uint8_t>> candidates(uint32_t segment);
    // A flag for each fragment of a segment, by what lies in it alone.
    Result<std::vector<uint8_t>> match_segment(uint32_t segment);
    // One trace, by all its parts. What is too large to be put together counts as found.
    Result<bool> match_trace(std::span<const TracePart> parts);

  private:
    Result<void> prepare();
    Result<void> check_stop() const;
    Result<void> verify(uint32_t segment);
    void forget_groups();
    Result<void> find_candidates(uint32_t segment, std::vector<uint8_t>& matches);

    const store::Segments segments_;
    const Plan plan_;
    Pipeline pipeline_;
    store::SearchRequest request_;
    store::ScanMemory memory_;
    const std::function<bool()> stop_;
    // Made at first use.
    std::unique_ptr<const store::CompiledPredicate> predicate_;
    std::vector<std::unique_ptr<store::SearchSegment>> places_;  // by segment
    std::unique_ptr<StoredRows> rows_;
    std::vector<uint8_t> is_verified_;  // by segment
};

}  // namespace spanloom::traceql
