#include "traceql/largest_series.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "traceql/series.h"

namespace spanloom::traceql {

void leave_largest(size_t series_max, std::vector<Series>& series) {
    if (series.size() <= series_max) return;
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < series.size(); ++i) {
        double sum = 0;
        for (const double value : series[i].values)
            sum += std::isnan(value) ? 0 : value;
        order.emplace_back(-sum, i);
    }
    std::sort(order.begin(), order.end());
    order.resize(series_max);
    std::sort(order.begin(), order.end(),
              [](const auto& a, const auto& b) { return a.second < b.second; });
    std::vector<Series> largest;
    for (const auto& [sum, index] : order)
        largest.push_back(std::move(series[index]));
    series = std::move(largest);
}

void leave_exemplars(size_t exemplars_max, std::vector<Series>& series) {
    std::vector<uint64_t> hashes;
    for (const Series& one : series) {
        for (const Exemplar& exemplar : one.exemplars)
            hashes.push_back(exemplar_hash(exemplar.trace_id, exemplar.span_id));
    }
    if (hashes.size() <= exemplars_max) return;
    const auto limit = hashes.begin() + static_cast<ptrdiff_t>(exemplars_max);
    std::nth_element(hashes.begin(), limit, hashes.end());
    const uint64_t bound = *limit;
    for (Series& one : series) {
        std::erase_if(one.exemplars, [&](const Exemplar& exemplar) {
            return exemplar_hash(exemplar.trace_id, exemplar.span_id) >= bound;
        });
    }
}

}  // namespace spanloom::traceql
