#pragma once

#include <string>

#include "base/result.h"
#include "store/segment.h"

namespace spanloom::store {

// What `rollup` makes of the rows that the segment shows, read from its columns. For segments whose
// own counts were made of other rows, too: `counted` are those, which know how long spans were.
Result<std::string> count_rows(const Segment& segment, const Blob& counted,
                               const RollupFunction& rollup);

}  // namespace spanloom::store
