#pragma once

#include <string>
#include <vector>

#include "main/terminal.h"

namespace spanloom {

struct ChartSeries {
    std::string name;            // safe to print
    std::vector<double> values;  // over time; NaN: none
};

// Series over time as text: one line of blocks for each, a tall one where there is only one.
// `begin` and `end` are what the time axis says at its ends.
std::string draw_chart(const std::vector<ChartSeries>& series, const std::string& begin,
                       const std::string& end, const Terminal& terminal);

}  // namespace spanloom
