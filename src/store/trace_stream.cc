#include "store/trace_stream.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/clock.h"

namespace spanloom::store {
namespace {

// Traces that wait for their turn in one search: about 64 bytes each.
constexpr size_t kWaitingTracesMax = 2'000'000;
// Segments that are foreseen together grow in number as long as the search goes on.
constexpr size_t kForeseeGrowth = 4;
constexpr size_t kForeseeMax = 16;

}  // namespace

TraceStream::TraceStream(Segments segments, const SearchRequest& request,
                         const CompiledPredicate& predicate)
    : request_(request),
      memory_(request.memory_bytes_max, [this] { forget_groups(); }),
      near_(with_margin(request.range)) {
    opened_.reserve(segments.size());
    for (const auto& segment : segments) {
        opened_.push_back(std::make_unique<SearchSegment>(segment, predicate, request, &memory_));
        const SegmentInfo& info = segment->info();
        if (info.spans == 0 || !overlaps(info.start_ns_min, info.end_ns_max, near_)) continue;
        scans_.push({opened_.back().get(), 0, info.trace_start_ns_max, false});
        to_begin_.push_back(opened_.back().get());
    }
    std::stable_sort(to_begin_.begin(), to_begin_.end(), [](const auto* a, const auto* b) {
        return a->segment().info().trace_start_ns_max > b->segment().info().trace_start_ns_max;
    });
    stats_.segments = static_cast<uint32_t>(segments.size());
    stats_.segments_skipped = static_cast<uint32_t>(segments.size());
}

// Row groups stay with their segments for the traces that come next, but not at any price.
void TraceStream::forget_groups() {
    for (const auto& segment : opened_)
        if (segment->is_open()) segment->reader().forget_groups();
}

std::optional<FoundTrace> TraceStream::next() {
    while (true) {
        if (auto found = deliver()) return found;
        if (scans_.empty() || is_interrupted()) return std::nullopt;
        Scan scan = scans_.top();
        scans_.pop();
        if (auto stepped = step(scan); !stepped) {
            note(stepped.error());
            // What is damaged is left out; the scan goes on behind it.
            ++scan.next_group;
            continue_at(scan);
        }
    }
}

ScanStats TraceStream::stats() const {
    ScanStats stats = stats_;
    for (const auto& segment : opened_) {
        if (segment->is_open()) stats.scanned_bytes += segment->reader().counts().bytes;
    }
    return stats;
}

// The first waiting trace that nothing still unread can come before.
std::optional<FoundTrace> TraceStream::deliver() {
    while (!waiting_.empty()) {
        if (!scans_.empty() && waiting_.top().start_ns <= scans_.top().bound_ns)
            return std::nullopt;
        FoundTrace candidate = waiting_.top();
        waiting_.pop();
        if (candidate.places != nullptr) return candidate;
        if (look_up(candidate)) waiting_.push(std::move(candidate));
    }
    return std::nullopt;
}

void TraceStream::note(const Error& error) {
    stats_.partial = true;
    if (stats_.reason.empty()) stats_.reason = error.message;
}

bool TraceStream::is_interrupted() {
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

// Finds all fragments; false where the trace does not belong into the answer.
bool TraceStream::look_up(FoundTrace& candidate) {
    auto places = std::make_shared<std::vector<FragmentPlace>>();
    uint64_t start_ns = UINT64_MAX;
    if (!std::exchange(are_indexes_foreseen_, true))
        for (const auto& segment : opened_)
            segment->segment().foresee_find();
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
    for (const FragmentPlace& place : *places)
        place.segment->foresee_rows_of(place.fragment);
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

// Before one segment is begun the disk is told of it and of some that come next: of the places'
// directories, then of their pages, then of the first group of each that is to be read.
void TraceStream::foresee_next() {
    if (begun_++ < foreseen_) return;
    const size_t end = std::min(foreseen_ + foresee_count_, to_begin_.size());
    const std::span<SearchSegment*> some(to_begin_.data() + foreseen_, end - foreseen_);
    for (SearchSegment* segment : some)
        segment->segment().foresee_places();
    for (SearchSegment* segment : some)
        segment->foresee_predicate();
    for (SearchSegment* segment : some) {
        const Result<BoundPredicate*> bound = segment->predicate();
        if (!bound || (*bound)->is_never()) continue;
        const uint32_t group = next_group(segment->segment(), **bound, 0);
        if (group < segment->segment().row_groups().size()) (*bound)->foresee(group);
    }
    foreseen_ = end;
    foresee_count_ = std::min(foresee_count_ * kForeseeGrowth, kForeseeMax);
}

// Evaluates the scan's next group, then puts it back behind those that are newer now.
Result<void> TraceStream::step(Scan& scan) {
    if (!scan.is_started) foresee_next();
    TRY_ASSIGN(BoundPredicate * predicate, scan.segment->predicate());
    if (predicate->is_never()) return {};
    if (!scan.is_started) {
        scan.is_started = true;
        --stats_.segments_skipped;
        scan.next_group = next_group(scan.segment->segment(), *predicate, scan.next_group);
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

// The first group at or after `from` that may have what is looked for; else how many there are.
uint32_t TraceStream::next_group(const Segment& segment, const BoundPredicate& predicate,
                                 uint32_t from) const {
    const auto groups = segment.row_groups();
    while (from < groups.size() &&
           (!overlaps(groups[from].start_ns_min, groups[from].end_ns_max, near_) ||
            !predicate.may_match(groups[from])))
        ++from;
    return from;
}

void TraceStream::continue_at(Scan& scan) {
    const auto predicate = scan.segment->predicate();
    if (!predicate || (*predicate)->is_never()) return;
    scan.next_group = next_group(scan.segment->segment(), **predicate, scan.next_group);
    if (scan.next_group >= scan.segment->segment().row_groups().size()) return;
    const auto bound = bound_of(scan);
    if (!bound) note(bound.error());
    if (bound) scan.bound_ns = std::min(scan.bound_ns, *bound);
    scan.is_started = true;
    scans_.push(scan);
}

Result<uint64_t> TraceStream::bound_of(const Scan& scan) {
    const uint32_t row = scan.segment->segment().row_groups()[scan.next_group].first_row;
    TRY_ASSIGN(const uint32_t index, scan.segment->reader().fragment_of_row(row));
    TRY_ASSIGN(const TraceFragment fragment, scan.segment->segment().fragment(index));
    return fragment.start_ns;
}

Result<void> TraceStream::evaluate(const Scan& scan) {
    const RowGroup& group = scan.segment->segment().row_groups()[scan.next_group];
    stats_.scanned_spans += group.rows;
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
        waiting_.push({fragment.trace_id, fragment.start_ns, nullptr});
    });
    return outcome;
}

}  // namespace spanloom::store
