#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/result.h"
#include "store/search.h"
#include "store/segment.h"

// What spans link to, of whatever trace.
namespace spanloom::store {

struct LinkTarget {
    TraceId trace_id;
    SpanId span_id;
};

// Of the ids of links' traces and spans, each at its place.
Result<LinkTarget> link_target(const ColumnBlock& traces, size_t trace_at, const ColumnBlock& spans,
                               size_t span_at);

// Returns false to stop.
using VisitLink = std::function<bool(const LinkTarget&)>;
// What consumers link to that may have received something sent at `from_ns` or later, about in
// order of time. False: it ended before a row group with which it would have looked at more than
// `links_max` links. Any thread.
Result<bool> for_each_consumer_link(Segments segments, Segments others, uint64_t from_ns,
                                    uint64_t links_max, const VisitLink& visit);

}  // namespace spanloom::store
