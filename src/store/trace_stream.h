#pragma once

#include <memory>
#include <optional>
#include <queue>
#include <unordered_set>
#include <vector>

#include "store/predicate.h"
#include "store/search.h"
#include "store/trace_summary.h"

namespace spanloom::store {

// A trace that has a span which satisfies the predicate, and where its spans lie.
struct FoundTrace {
    TraceId trace_id;
    uint64_t start_ns = 0;  // of the earliest span, in whichever segment
    std::shared_ptr<const std::vector<FragmentPlace>> places;

    // At most so many spans: some may have been sent twice.
    uint64_t rows() const {
        uint64_t sum = 0;
        for (const FragmentPlace& place : *places)
            sum += place.fragment.rows;
        return sum;
    }
};

// Traces of a set of segments, each once, newest first: those in the request's range with a span
// that satisfies its predicate. Segments and row groups that cannot come next, or cannot match, are
// not read. One thread; segments, request and predicate outlive it.
class TraceStream {
  public:
    TraceStream(Segments segments, const SearchRequest& request,
                const CompiledPredicate& predicate);

    // nullopt: there are no more, or it was interrupted (stats().partial says so).
    std::optional<FoundTrace> next();
    // Whether the time is up or the client is gone; noted in stats().
    bool is_interrupted();
    void note(const Error& error);

    // Bytes included.
    ScanStats stats() const;
    // As the segments given; opened are those that were read.
    const std::vector<std::unique_ptr<SearchSegment>>& segments() const { return opened_; }

  private:
    // A trace that matches. `start_ns` is the start of the fragment it was found by, an upper
    // bound, until the trace has been looked up in every segment.
    struct ComesLater {
        bool operator()(const FoundTrace& a, const FoundTrace& b) const {
            if (a.start_ns != b.start_ns) return a.start_ns < b.start_ns;
            return a.trace_id > b.trace_id;
        }
    };
    // Where a segment's scan stands. No trace that it has yet to deliver starts after `bound_ns`.
    struct Scan {
        SearchSegment* segment = nullptr;
        uint32_t next_group = 0;
        uint64_t bound_ns = 0;
        bool is_started = false;
    };
    struct BoundIsLower {
        bool operator()(const Scan& a, const Scan& b) const { return a.bound_ns < b.bound_ns; }
    };

    void forget_groups();
    std::optional<FoundTrace> deliver();
    bool look_up(FoundTrace& candidate);
    void foresee_next();
    Result<void> step(Scan& scan);
    uint32_t next_group(const Segment& segment, const BoundPredicate& predicate,
                        uint32_t from) const;
    void continue_at(Scan& scan);
    static Result<uint64_t> bound_of(const Scan& scan);
    Result<void> evaluate(const Scan& scan);

    const SearchRequest& request_;
    ScanMemory memory_;
    TimeRange near_;
    std::vector<std::unique_ptr<SearchSegment>> opened_;
    std::priority_queue<Scan, std::vector<Scan>, BoundIsLower> scans_;
    std::priority_queue<FoundTrace, std::vector<FoundTrace>, ComesLater> waiting_;
    std::unordered_set<TraceId> seen_;
    // Segments in the order in which they are begun, and how many of them were foreseen.
    std::vector<SearchSegment*> to_begin_;
    bool are_indexes_foreseen_ = false;
    size_t begun_ = 0;
    size_t foreseen_ = 0;
    size_t foresee_count_ = 1;
    ScanStats stats_;
};

}  // namespace spanloom::store
