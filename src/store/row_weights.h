#pragma once

#include <vector>

#include "store/group_reader.h"

namespace spanloom::store {

// How many spans each row of a group stands for, by the threshold in its trace state or the one by
// which a keep rule chose its trace, whichever is higher: both are compared with one randomness.
// Empty: each stands for itself.
Result<std::vector<double>> row_weights(SegmentReader& reader, GroupReader& group);
// The same of one row.
Result<double> row_weight(SegmentReader& reader, GroupReader& group, uint32_t row);

}  // namespace spanloom::store
