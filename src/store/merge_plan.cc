#include "store/merge_plan.h"

#include <algorithm>

#include "store/segment_rows.h"

namespace spanloom::store {

Result<void> MergePlan::make(std::span<const MergeInput> inputs,
                             const std::function<bool(const TraceId&)>& keeps_trace) {
    std::vector<MergeMember> members;
    for (uint32_t input = 0; input < inputs.size(); ++input) {
        const Segment& segment = inputs[input].segment();
        TRY_ASSIGN(const auto thresholds, segment.thresholds());
        for (uint32_t f = 0; f < segment.fragment_count(); ++f) {
            TRY_ASSIGN(const TraceFragment fragment, segment.fragment(f));
            if (keeps_trace && !keeps_trace(fragment.trace_id)) continue;
            const auto [at, is_new] =
                numbers_.try_emplace(fragment.trace_id, static_cast<uint32_t>(fragments_.size()));
            if (is_new) {
                fragments_.push_back({fragment, 0, 0, 0});
                fragments_.back().whole.rows = 0;
                fragments_.back().whole.errors = 0;
            }
            JoinedFragment& joined = fragments_[at->second];
            joined.whole.start_ns = std::min(joined.whole.start_ns, fragment.start_ns);
            joined.whole.end_ns = std::max(joined.whole.end_ns, fragment.end_ns);
            joined.whole.rows += fragment.rows;
            joined.whole.errors += fragment.errors;
            if (thresholds != nullptr)
                joined.threshold = std::max(joined.threshold, (*thresholds)[f]);
            ++joined.members;
            members.push_back({at->second, input, fragment.first_row, fragment.rows});
        }
    }
    uint32_t next = 0;
    for (JoinedFragment& joined : fragments_) {
        joined.first_member = next;
        next += joined.members;
        joined.members = 0;
    }
    members_.resize(members.size());
    for (const MergeMember& member : members) {
        JoinedFragment& joined = fragments_[member.joined];
        members_[joined.first_member + joined.members++] = member;
    }
    std::sort(fragments_.begin(), fragments_.end(),
              [](const JoinedFragment& a, const JoinedFragment& b) {
                  return fragment_before(a.whole, b.whole);
              });
    for (uint32_t number = 0; number < fragments_.size(); ++number)
        numbers_[fragments_[number].whole.trace_id] = number;
    return {};
}

uint32_t MergePlan::find(const TraceId& id) const {
    const auto at = numbers_.find(id);
    return at == numbers_.end() ? SegmentWriter::kNone : at->second;
}

}  // namespace spanloom::store
