#include "traceql/trace_match.h"

#include <algorithm>
#include <utility>

#include "store/scan_segments.h"

namespace spanloom::traceql {

TraceMatch::TraceMatch(const Query& query, store::Segments segments, size_t memory_bytes_max,
                       std::function<bool()> stop)
    : segments_(segments),
      plan_(make_plan(query)),
      pipeline_(query.stages),
      memory_(memory_bytes_max, [this] { forget_groups(); }),
      stop_(std::move(stop)),
      places_(segments.size()),
      is_verified_(segments.size()) {}

TraceMatch::~TraceMatch() = default;

Result<void> TraceMatch::check_stop() const {
    if (stop_ && stop_()) return fail(ErrorCode::kCancelled, "the question was stopped");
    return {};
}

Result<void> TraceMatch::verify(uint32_t segment) {
    if (is_verified_[segment] != 0) return {};
    TRY(segments_[segment]->verify());
    is_verified_[segment] = 1;
    return {};
}

// They can be read again.
void TraceMatch::forget_groups() {
    for (const auto& place : places_)
        if (place != nullptr && place->is_open()) place->reader().forget_groups();
}

Result<void> TraceMatch::prepare() {
    if (rows_ != nullptr) return {};
    request_.where = plan_.candidates;
    TRY_ASSIGN(store::CompiledPredicate predicate,
               store::CompiledPredicate::compile(request_.where));
    predicate_ = std::make_unique<const store::CompiledPredicate>(std::move(predicate));
    TRY_ASSIGN(rows_, StoredRows::make(plan_));
    return {};
}

// Rows that satisfy the condition are found by columns.
Result<void> TraceMatch::find_candidates(uint32_t segment, std::vector<uint8_t>& matches) {
    store::SegmentScan scan(segments_[segment], *predicate_, {}, memory_);
    TRY_ASSIGN(const bool is_open, scan.open());
    if (!is_open) return {};
    uint32_t index = 0;
    TRY_ASSIGN(store::TraceFragment fragment, segments_[segment]->fragment(0));
    while (true) {
        TRY(check_stop());
        TRY_ASSIGN(const bool has_rows, scan.next());
        if (!has_rows) return {};
        const uint32_t first = scan.group().rows().first_row;
        for (const uint32_t row : scan.rows().rows()) {
            while (first + row >= fragment.first_row + fragment.rows) {
                TRY_ASSIGN(fragment, segments_[segment]->fragment(++index));
            }
            matches[index] = 1;
        }
    }
}

Result<std::vector<uint8_t>> TraceMatch::candidates(uint32_t segment) {
    std::vector<uint8_t> matches(segments_[segment]->fragment_count());
    if (matches.empty()) return matches;
    TRY(prepare());
    TRY(find_candidates(segment, matches));
    return matches;
}

// Where columns do not decide, the traces that they find are put together and evaluated.
Result<std::vector<uint8_t>> TraceMatch::match_segment(uint32_t segment) {
    TRY_ASSIGN(std::vector<uint8_t> matches, candidates(segment));
    if (is_by_fragment()) return matches;
    for (uint32_t index = 0; index < matches.size(); ++index) {
        if (matches[index] == 0) continue;
        TRY_ASSIGN(const store::TraceFragment fragment, segments_[segment]->fragment(index));
        const TracePart part{segment, fragment};
        TRY_ASSIGN(const bool is_match, match_trace({&part, 1}));
        matches[index] = is_match ? 1 : 0;
    }
    return matches;
}

Result<bool> TraceMatch::match_trace(std::span<const TracePart> parts) {
    TRY(check_stop());
    TRY(prepare());
    store::FoundTrace trace;
    trace.trace_id = parts.front().fragment.trace_id;
    trace.start_ns = UINT64_MAX;
    auto places = std::make_shared<std::vector<store::FragmentPlace>>();
    for (const TracePart& part : parts) {
        auto& place = places_[part.segment];
        if (place == nullptr)
            place = std::make_unique<store::SearchSegment>(segments_[part.segment], *predicate_,
                                                           request_, &memory_);
        places->push_back({place.get(), part.fragment});
        trace.start_ns = std::min(trace.start_ns, part.fragment.start_ns);
    }
    trace.places = std::move(places);
    if (trace.rows() < plan_.spans_min) return false;
    rows_->load(trace);
    if (!rows_->reason().empty()) {
        // Damage, or there is no memory for it. The reason stays, so that the next needs others.
        TRY_ASSIGN(rows_, StoredRows::make(plan_));
        for (const TracePart& part : parts)
            TRY(verify(part.segment));
        return true;
    }
    return !pipeline_.run(*rows_).empty();
}

}  // namespace spanloom::traceql
