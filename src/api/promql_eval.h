#pragma once

#include <string>
#include <vector>

#include "api/red_families.h"

namespace spanloom::api {

// One series over the times of a query; NaN: nothing there.
struct PromSeries {
    PromLabels labels;
    std::vector<double> values;
};

struct PromResult {
    bool is_scalar = false;
    std::vector<double> scalar;      // of each time
    std::vector<PromSeries> series;  // in the order that sort() and topk() give at the last time
};

// Evaluates at each of `times_ns`, which ascend. Counters are taken as growing evenly within each
// minute. One thread.
Result<PromResult> evaluate_promql(const Call& call, const PromNode& node,
                                   const std::vector<uint64_t>& times_ns, ServiceEdgeCache& edges);

}  // namespace spanloom::api
