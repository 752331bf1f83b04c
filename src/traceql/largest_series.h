#pragma once

#include <cstddef>
#include <vector>

#include "traceql/answer.h"

// What is shown of an answer that is larger than asked for.
namespace spanloom::traceql {

// Leaves the series of which the values add up to most, in their order.
void leave_largest(size_t series_max, std::vector<Series>& series);

// Leaves so many exemplars of all series: the same ones each time.
void leave_exemplars(size_t exemplars_max, std::vector<Series>& series);

}  // namespace spanloom::traceql
