#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/field_reader.h"
#include "store/predicate.h"
#include "store/search.h"
#include "store/trace_writer.h"

namespace spanloom::store {

// One segment during one search; opened (columns looked up, predicate bound) when first needed.
class SearchSegment {
  public:
    // `memory` (none: without limit) outlives it, as the others do.
    SearchSegment(std::shared_ptr<const Segment> segment, const CompiledPredicate& predicate,
                  const SearchRequest& request, ScanMemory* memory = nullptr);

    const Segment& segment() const { return *segment_; }
    bool is_open() const { return reader_ != nullptr; }
    // It was found out that no span satisfies the predicate.
    bool is_never() const { return bound_ && bound_->is_never(); }
    SegmentReader& reader();
    // A hint for the row group of a fragment that is read soon; once for neighbours.
    void foresee_rows_of(const TraceFragment& fragment);
    // A hint for predicate().
    void foresee_predicate() { BoundPredicate::foresee(compiled_, reader()); }
    SpanWriter& writer();
    Result<BoundPredicate*> predicate();
    FieldReader& wanted(size_t index);
    // The spans of a group that satisfy the predicate and lie near enough to the range; the group
    // evaluated last is remembered.
    Result<const RowBitmap*> matches(uint32_t group);

  private:
    Result<void> leave_near_range(GroupReader& group, RowBitmap& rows);

    std::shared_ptr<const Segment> segment_;
    const CompiledPredicate& compiled_;
    const SearchRequest& request_;
    ScanMemory* memory_;
    std::unique_ptr<SegmentReader> reader_;
    std::unique_ptr<SpanWriter> writer_;
    std::optional<BoundPredicate> bound_;
    std::vector<std::unique_ptr<FieldReader>> wanted_;
    std::optional<uint32_t> foreseen_group_;
    std::optional<uint32_t> evaluated_group_;
    RowBitmap evaluated_;
};

// A fragment and where it is.
struct FragmentPlace {
    SearchSegment* segment = nullptr;
    TraceFragment fragment;
};

// What a span overlaps, counting an instant as overlapping where it lies.
inline bool overlaps(uint64_t start_ns, uint64_t end_ns, TimeRange range) {
    return start_ns < range.end_ns && end_ns >= range.start_ns;
}
// The range in which spans are looked at for matches.
TimeRange with_margin(TimeRange range);

// Whether any span of the trace overlaps the range, exactly.
Result<bool> is_in_range(const std::vector<FragmentPlace>& places, TimeRange range);

// Reads the spans of one trace and sums them up; equal spans count once.
struct SummaryOutcome {
    TraceSummary summary;
    std::string reason;  // what could not be read
};
SummaryOutcome summarize(const TraceId& id, const std::vector<FragmentPlace>& places,
                         const SearchRequest& request);

}  // namespace spanloom::store
