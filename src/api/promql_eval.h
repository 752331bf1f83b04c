#pragma once

#include <cstdint>
#include <vector>

#include "api/promql_binary.h"
#include "api/red_families.h"

namespace spanloom::api {

// Evaluates at each of `times_ns`, which ascend. Counters are taken as growing evenly within each
// step of what is counted. One thread.
Result<PromResult> evaluate_promql(const Call& call, const PromNode& node,
                                   const std::vector<uint64_t>& times_ns, SpanWeights weights,
                                   AskedEdges& edges);

}  // namespace spanloom::api
