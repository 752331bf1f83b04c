#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "store/scan.h"

namespace spanloom::traceql {

// Traces of which several segments hold spans: what is counted segment by segment leaves them out,
// and puts them together. Immutable; any thread.
class SharedTraces {
  public:
    struct Part {
        uint32_t segment = 0;  // of segments()
        store::TraceFragment fragment;
    };
    struct Trace {
        uint64_t start_ns = 0;
        std::vector<Part> parts;
    };

    // kInParts: all of them. kWithEqualSpans: those with a span id that comes in two segments.
    enum class Which : uint8_t { kInParts, kWithEqualSpans };
    // Of the segments that reach near the range (by at most an hour). Threads as `scope` says.
    static Result<SharedTraces> find(store::Segments segments, const store::ScanScope& scope,
                                     Which which);

    // In the order in which segments keep them: newest first.
    const std::vector<Trace>& traces() const { return traces_; }
    const std::vector<const store::Segment*>& segments() const { return segments_; }
    // The fragments in a segment, by row.
    std::span<const store::TraceFragment> in(const store::Segment& segment) const;

  private:
    friend class SharedTraceCache;
    void index();

    std::vector<const store::Segment*> segments_;
    std::vector<Trace> traces_;
    std::vector<std::vector<store::TraceFragment>> by_segment_;
};

// What was found for the sets of segments asked about last: they do not change between most
// questions. Any thread.
class SharedTraceCache {
  public:
    Result<std::shared_ptr<const SharedTraces>> find(store::Segments segments,
                                                     const store::ScanScope& scope,
                                                     SharedTraces::Which which);

  private:
    struct Entry {
        std::vector<std::weak_ptr<const store::Segment>> segments;
        SharedTraces::Which which = SharedTraces::Which::kInParts;
        std::shared_ptr<const SharedTraces> traces;
    };

    std::mutex mutex_;
    std::vector<Entry> entries_;  // used last first
};

}  // namespace spanloom::traceql
