#pragma once

#include "base/result.h"
#include "insight/dependencies.h"
#include "insight/edge_minutes.h"
#include "rollup/operation_rollup.h"
#include "store/stored_counts.h"

namespace spanloom::insight {

// What the store is to count of spans before they age or go: operations and edges.
store::Counting make_span_counting();

// Of all spans there ever were: those of hours that are counted already by whole minutes (of long
// ago: hours), the others as they start in the range. Any thread.
Result<ServiceEdges> find_all_service_edges(const store::CountedParts& parts,
                                            store::TimeRange range, RollupCache& cache);
Result<DependencyGraph> find_all_dependencies(const store::CountedParts& parts,
                                              store::TimeRange range, RollupCache& cache);

}  // namespace spanloom::insight
