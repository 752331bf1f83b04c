#pragma once

#include <span>
#include <unordered_set>

#include "store/scan.h"

namespace spanloom::traceql {

using TraceSet = std::unordered_set<TraceId>;

// Traces of which two segments may hold equal spans that start in the range: both must reach to
// where these lie. Threads as `scope` says.
Result<TraceSet> traces_with_equal_spans(store::Segments segments, const store::ScanScope& scope);

// All traces of which more than one segment near the range (by at most an hour) holds spans.
Result<TraceSet> traces_in_parts(store::Segments segments, const store::ScanScope& scope);

}  // namespace spanloom::traceql
