#pragma once

#include "base/result.h"
#include "insight/dependencies.h"
#include "insight/service_edges.h"
#include "rollup/operation_rollup.h"
#include "store/stored_counts.h"

namespace spanloom::insight {

// What the store is to count of spans before they age or go: operations and edges.
store::Counting make_span_counting();

// Of all spans there ever were: those of hours that are counted already by whole steps, as long as
// they are known, the others as they start in the range. `step_s`: how long the shortest steps are
// to be. Any thread.
Result<ServiceEdges> find_all_service_edges(const store::CountedParts& parts,
                                            store::TimeRange range, RollupCache& cache,
                                            uint32_t step_s = kMinuteStepS);
Result<DependencyGraph> find_all_dependencies(const store::CountedParts& parts,
                                              store::TimeRange range, RollupCache& cache);

}  // namespace spanloom::insight
