#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "store/group_reader.h"
#include "store/search.h"
#include "store/segment.h"

// What spans link to, of whatever trace.
namespace spanloom::store {

struct LinkTarget {
    TraceId trace_id;
    SpanId span_id;
};

// The links of one row group. Valid as long as the group.
class GroupLinks {
  public:
    static Result<GroupLinks> open(const SegmentReader& reader, GroupReader& group);
    // By link the row of its span, ascending.
    const std::vector<int64_t>& owners() const { return owners_->integers; }
    // nullopt: it names no span.
    Result<std::optional<LinkTarget>> target(uint32_t link) const;

  private:
    const ColumnBlock* owners_ = nullptr;
    const ColumnBlock* traces_ = nullptr;
    const ColumnBlock* spans_ = nullptr;
};

// Returns false to stop.
using VisitLink = std::function<bool(const LinkTarget&)>;
// What consumers link to that may have received something sent at `from_ns` or later, about in
// order of time. False: it ended before a row group with which it would have looked at more than
// `links_max` links. Any thread.
Result<bool> for_each_consumer_link(Segments segments, Segments others, uint64_t from_ns,
                                    uint64_t links_max, const VisitLink& visit);

}  // namespace spanloom::store
