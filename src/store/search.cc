#include "store/search.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "base/clock.h"
#include "store/trace_summary.h"

namespace spanloom::store {
namespace {

// Traces that wait for their turn in one search: about 64 bytes each.
constexpr size_t kWaitingTracesMax = 2'000'000;

// A trace that matches. `start_ns` is the start of the fragment it was found by, an upper bound,
// until the trace has been looked up in every segment.
struct Candidate {
    uint64_t start_ns = 0;
    TraceId trace_id;
    std::shared_ptr<const std::vector<FragmentPlace>> places;  // once looked up
};

struct ComesLater {
    bool operator()(const Candidate& a, const Candidate& b) const {
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

class Search {
  public:
    Search(Segments segments, const SearchRequest& request, const CompiledPredicate& predicate)
        : request_(request), near_(with_margin(request.range)) {
        opened_.reserve(segments.size());
        for (const auto& segment : segments) {
            opened_.push_back(std::make_unique<SearchSegment>(segment, predicate, request));
            const SegmentInfo& info = segment->info();
            if (info.spans == 0 || !overlaps(info.start_ns_min, info.end_ns_max, near_)) continue;
            scans_.push({opened_.back().get(), 0, info.trace_start_ns_max, false});
        }
        answer_.stats.segments = static_cast<uint32_t>(segments.size());
        answer_.stats.segments_skipped = static_cast<uint32_t>(segments.size());
    }

    SearchAnswer run() {
        while (!is_done_) {
            deliver();
            if (is_done_ || scans_.empty() || is_interrupted()) break;
            Scan scan = scans_.top();
            scans_.pop();
            if (auto stepped = step(scan); !stepped) {
                note(stepped.error());
                // What is damaged is left out; the scan goes on behind it.
                ++scan.next_group;
                continue_at(scan);
            }
        }
        for (const auto& segment : opened_) {
            if (segment->is_open()) answer_.stats.scanned_bytes += segment->reader().counts().bytes;
        }
        return std::move(answer_);
    }

  private:
    void note(const Error& error) {
        answer_.stats.partial = true;
        if (answer_.stats.reason.empty()) answer_.stats.reason = error.message;
    }

    bool is_interrupted() {
        if (request_.cancelled.stop_requested()) {
            note({ErrorCode::kCancelled, "the search was cancelled", 0});
            return true;
        }
        if (request_.deadline_monotonic_ns != 0 &&
            SystemClock().monotonic_ns() >= request_.deadline_monotonic_ns) {
            note({ErrorCode::kDeadlineExceeded,
                  "the search took too long; narrow the range or the conditions", 0});
            return true;
        }
        if (waiting_.size() > kWaitingTracesMax) {
            note({ErrorCode::kResourceExhausted,
                  "too many traces overlap each other; narrow the range or the conditions", 0});
            return true;
        }
        return false;
    }

    // Answers with every waiting trace that nothing still unread can come before.
    void deliver() {
        while (!waiting_.empty() && !is_done_) {
            if (!scans_.empty() && waiting_.top().start_ns <= scans_.top().bound_ns) return;
            Candidate candidate = waiting_.top();
            waiting_.pop();
            if (candidate.places == nullptr) {
                if (!look_up(candidate)) continue;
                waiting_.push(std::move(candidate));
                continue;
            }
            if (answer_.traces.size() >= request_.limit) {
                set_next();
                is_done_ = true;
                return;
            }
            if (is_interrupted()) {
                is_done_ = true;
                return;
            }
            SummaryOutcome outcome = summarize(candidate.trace_id, *candidate.places, request_);
            if (!outcome.reason.empty()) note({ErrorCode::kDataLoss, outcome.reason, 0});
            answer_.traces.push_back(std::move(outcome.summary));
        }
    }

    void set_next() {
        if (answer_.traces.empty()) return;
        answer_.next = Cursor{answer_.traces.back().start_ns, answer_.traces.back().trace_id};
    }

    // Finds all fragments; false where the trace does not belong into the answer.
    bool look_up(Candidate& candidate) {
        auto places = std::make_shared<std::vector<FragmentPlace>>();
        uint64_t start_ns = UINT64_MAX;
        for (const auto& segment : opened_) {
            const auto fragment = segment->segment().find(candidate.trace_id);
            if (!fragment) {
                note(fragment.error());
                continue;
            }
            if (!*fragment) continue;
            start_ns = std::min(start_ns, (*fragment)->start_ns);
            places->push_back({segment.get(), **fragment});
        }
        if (places->empty()) return false;
        candidate.start_ns = start_ns;
        if (request_.after) {
            const Cursor& after = *request_.after;
            if (start_ns > after.start_ns) return false;
            if (start_ns == after.start_ns && candidate.trace_id <= after.trace_id) return false;
        }
        const auto inside = is_in_range(*places, request_.range);
        if (!inside) note(inside.error());
        if (!inside || !*inside) return false;
        candidate.places = std::move(places);
        return true;
    }

    // Evaluates the scan's next group, then puts it back behind those that are newer now.
    Result<void> step(Scan& scan) {
        TRY_ASSIGN(BoundPredicate * predicate, scan.segment->predicate());
        if (predicate->is_never()) return {};
        if (!scan.is_started) {
            scan.is_started = true;
            --answer_.stats.segments_skipped;
            skip_groups(scan, *predicate);
            // Groups that were skipped may have lowered the bound below another segment's.
            if (scan.next_group != 0) {
                continue_at(scan);
                return {};
            }
        }
        TRY(evaluate(scan));
        ++scan.next_group;
        continue_at(scan);
        return {};
    }

    void skip_groups(Scan& scan, const BoundPredicate& predicate) const {
        const auto groups = scan.segment->segment().row_groups();
        while (scan.next_group < groups.size()) {
            const RowGroup& group = groups[scan.next_group];
            if (overlaps(group.start_ns_min, group.end_ns_max, near_) &&
                predicate.may_match(group)) {
                return;
            }
            ++scan.next_group;
        }
    }

    void continue_at(Scan& scan) {
        const auto predicate = scan.segment->predicate();
        if (!predicate || (*predicate)->is_never()) return;
        skip_groups(scan, **predicate);
        const auto groups = scan.segment->segment().row_groups();
        if (scan.next_group >= groups.size()) return;
        const auto bound = bound_of(scan);
        if (!bound) note(bound.error());
        if (bound) scan.bound_ns = std::min(scan.bound_ns, *bound);
        scan.is_started = true;
        scans_.push(scan);
    }

    static Result<uint64_t> bound_of(const Scan& scan) {
        const uint32_t row = scan.segment->segment().row_groups()[scan.next_group].first_row;
        TRY_ASSIGN(const uint32_t index, scan.segment->reader().fragment_of_row(row));
        TRY_ASSIGN(const TraceFragment fragment, scan.segment->segment().fragment(index));
        return fragment.start_ns;
    }

    Result<void> evaluate(const Scan& scan) {
        const RowGroup& group = scan.segment->segment().row_groups()[scan.next_group];
        answer_.stats.scanned_spans += group.rows;
        TRY_ASSIGN(const RowBitmap* rows, scan.segment->matches(scan.next_group));
        if (!rows->any()) return {};
        TRY_ASSIGN(const uint32_t first, scan.segment->reader().fragment_of_row(group.first_row));
        uint32_t index = first;
        TRY_ASSIGN(TraceFragment fragment, scan.segment->segment().fragment(index));
        Result<void> outcome;
        bool is_known = false;  // this fragment's trace is taken already
        rows->for_each([&](uint32_t row) {
            if (!outcome) return;
            const uint32_t at = group.first_row + row;
            while (at >= fragment.first_row + fragment.rows) {
                is_known = false;
                auto next = scan.segment->segment().fragment(++index);
                if (!next) {
                    outcome = tl::unexpected<Error>(std::move(next).error());
                    return;
                }
                fragment = *next;
            }
            if (is_known) return;
            is_known = true;
            if (!seen_.insert(fragment.trace_id).second) return;
            waiting_.push({fragment.start_ns, fragment.trace_id, nullptr});
        });
        return outcome;
    }

    const SearchRequest& request_;
    TimeRange near_;
    std::vector<std::unique_ptr<SearchSegment>> opened_;
    std::priority_queue<Scan, std::vector<Scan>, BoundIsLower> scans_;
    std::priority_queue<Candidate, std::vector<Candidate>, ComesLater> waiting_;
    std::unordered_set<TraceId> seen_;
    SearchAnswer answer_;
    bool is_done_ = false;
};

}  // namespace

Result<SearchAnswer> search(Segments segments, const SearchRequest& request) {
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(request.where));
    return Search(segments, request, predicate).run();
}

}  // namespace spanloom::store
