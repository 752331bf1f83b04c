#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "store/segment.h"

namespace spanloom::store {

// What readers see of a segment in which some traces are hidden until they are erased: the rows of
// the others, numbered anew. Counts made when the segment was written (rollup()) and the file's
// size are as before. Returns `whole` itself where it holds none of them.
Result<std::shared_ptr<const Segment>> hide_traces(
    std::shared_ptr<const Segment> whole, const std::function<bool(const TraceId&)>& is_hidden);

}  // namespace spanloom::store
