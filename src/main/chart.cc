#include "main/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace spanloom {
namespace {

constexpr std::array<std::string_view, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr size_t kTallRows = 8;
constexpr size_t kNameWidthMax = 48;
constexpr size_t kNumberWidth = 10;

struct Extent {
    double low = 0;
    double high = 0;
};

Extent extent_of(const std::vector<double>& values) {
    Extent extent;
    for (const double value : values) {
        if (!std::isfinite(value)) continue;
        extent.low = std::min(extent.low, value);
        extent.high = std::max(extent.high, value);
    }
    return extent;
}

// As many values as there are columns: of several in one column the largest.
std::vector<double> fit_columns(const std::vector<double>& values, size_t columns) {
    if (values.size() <= columns) return values;
    std::vector<double> fitted(columns, std::numeric_limits<double>::quiet_NaN());
    for (size_t i = 0; i < values.size(); ++i) {
        double& at = fitted[i * columns / values.size()];
        if (std::isnan(at) || values[i] > at) at = values[i];
    }
    return fitted;
}

// Which block, of `steps` for the whole height.
size_t height_of(double value, const Extent& extent, size_t steps) {
    if (!std::isfinite(value) || extent.high <= extent.low) return 0;
    const double share = (value - extent.low) / (extent.high - extent.low);
    const auto height = static_cast<size_t>(std::lround(share * static_cast<double>(steps)));
    // What is there is seen, however small.
    return value != 0 && height == 0 ? 1 : height;
}

std::string padded(std::string text, size_t width) {
    const size_t own = display_width(text);
    if (own < width) text.append(width - own, ' ');
    return text;
}

std::string last_value(const std::vector<double>& values) {
    for (auto at = values.rbegin(); at != values.rend(); ++at) {
        if (!std::isnan(*at)) return fmt::format("{:.4g}", *at);
    }
    return "-";
}

std::string axis(size_t indent, size_t columns, const std::string& begin, const std::string& end) {
    std::string line(indent, ' ');
    line += begin;
    const size_t taken = display_width(begin) + display_width(end);
    if (columns > taken) line.append(columns - taken, ' ');
    return line + (columns >= taken ? end : "") + "\n";
}

std::string draw_tall(const ChartSeries& series, size_t width, const std::string& begin,
                      const std::string& end) {
    const size_t columns = width > kNumberWidth + 12 ? width - kNumberWidth - 2 : 10;
    const std::vector<double> values = fit_columns(series.values, columns);
    const Extent extent = extent_of(values);
    std::string out = series.name + "  last " + last_value(series.values) + "\n";
    for (size_t row = kTallRows; row-- > 0;) {
        std::string label;
        if (row + 1 == kTallRows) label = fmt::format("{:.4g}", extent.high);
        if (row == 0) label = fmt::format("{:.4g}", extent.low);
        out += std::string(kNumberWidth - std::min(kNumberWidth, label.size()), ' ') + label + " ";
        for (const double value : values) {
            const size_t height = height_of(value, extent, kTallRows * 8);
            const size_t below = row * 8;
            out += kBlocks[height <= below ? 0 : std::min<size_t>(height - below, 8)];
        }
        out += '\n';
    }
    return out + axis(kNumberWidth + 1, values.size(), begin, end);
}

}  // namespace

std::string draw_chart(const std::vector<ChartSeries>& series, const std::string& begin,
                       const std::string& end, const Terminal& terminal) {
    if (series.empty()) return "no series; --since 24h looks further back\n";
    const size_t width = terminal.columns;
    if (series.size() == 1) return draw_tall(series[0], width, begin, end);
    size_t name_width = 0;
    Extent extent;
    for (const ChartSeries& one : series) {
        name_width = std::max(name_width, display_width(one.name));
        const Extent own = extent_of(one.values);
        extent.low = std::min(extent.low, own.low);
        extent.high = std::max(extent.high, own.high);
    }
    name_width = std::min({name_width, kNameWidthMax, width / 2});
    const size_t taken = name_width + kNumberWidth + 4;
    const size_t columns = width > taken + 10 ? width - taken : 10;
    std::string out;
    size_t drawn = 0;
    for (const ChartSeries& one : series) {
        const std::vector<double> values = fit_columns(one.values, columns);
        drawn = std::max(drawn, values.size());
        out += padded(fit(one.name, name_width), name_width) + "  ";
        for (const double value : values)
            out += kBlocks[height_of(value, extent, 8)];
        out += "  " + last_value(one.values) + "\n";
    }
    return out + axis(name_width + 2, drawn, begin, end) +
           fmt::format("all from {:.4g} to {:.4g}\n", extent.low, extent.high);
}

}  // namespace spanloom
