#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/result.h"
#include "store/merge_input.h"
#include "store/segment.h"

// Which fragments the output of a merge has, in which order, and what they are made of.
namespace spanloom::store {

// A fragment of one input, or several of the same trace.
struct JoinedFragment {
    TraceFragment whole;
    uint32_t first_member = 0;
    uint32_t members = 0;
    uint64_t threshold = 0;  // Segment::thresholds
};
struct MergeMember {
    uint32_t joined = 0;
    uint32_t input = 0;
    uint32_t first_row = 0;
    uint32_t rows = 0;
};

class MergePlan {
  public:
    // Only of traces that `keeps_trace` keeps; none: all.
    Result<void> make(std::span<const MergeInput> inputs,
                      const std::function<bool(const TraceId&)>& keeps_trace);
    uint32_t size() const { return static_cast<uint32_t>(fragments_.size()); }
    JoinedFragment& fragment(uint32_t number) { return fragments_[number]; }
    std::span<const MergeMember> members(const JoinedFragment& joined) const {
        return std::span(members_).subspan(joined.first_member, joined.members);
    }
    // SegmentWriter::kNone where the output has no fragment of the trace.
    uint32_t find(const TraceId& id) const;

  private:
    std::vector<JoinedFragment> fragments_;
    std::vector<MergeMember> members_;
    boost::unordered_flat_map<TraceId, uint32_t, std::hash<TraceId>> numbers_;
};

}  // namespace spanloom::store
