#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "store/segment.h"

namespace spanloom::store {

// What readers see of a segment in which some traces are hidden until they are erased: the rows of
// the others, numbered anew, and by `rollup` the counts of these; without it the counts are as
// before, as the file's size is. Returns `whole` itself where it holds none of them.
Result<std::shared_ptr<const Segment>> hide_traces(
    std::shared_ptr<const Segment> whole, const std::function<bool(const TraceId&)>& is_hidden,
    const RollupFunction& rollup = nullptr);

}  // namespace spanloom::store
