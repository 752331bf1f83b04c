#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "api/promql.h"
#include "api/red_families.h"
#include "base/result.h"

// Values of PromQL, their labels, and what operators between two of them give.
namespace spanloom::api {

constexpr double kPromNone = std::numeric_limits<double>::quiet_NaN();

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

PromLabels without_name(PromLabels labels);
std::string_view label_of(const PromLabels& labels, std::string_view name);
// What is left of the labels by grouping or matching.
PromLabels keep(const PromLabels& labels, const std::vector<std::string>& names, bool is_without);

// Of a binary operator, whose sides have values at so many times.
Result<PromResult> combine(const PromNode& node, PromResult left, PromResult right, size_t times);

}  // namespace spanloom::api
