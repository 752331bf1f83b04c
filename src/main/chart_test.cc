#include "main/chart.h"

#include <limits>
#include <string>

#include <doctest/doctest.h>

namespace spanloom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

Terminal of_columns(unsigned columns) {
    Terminal terminal;
    terminal.columns = columns;
    return terminal;
}

}  // namespace

TEST_CASE("several series are lines of blocks on one scale") {
    const std::string chart = draw_chart({{"a", {0, 1, 2, kNone, 8}}, {"bb", {8, 4, 0.001}}},
                                         "10:00", "11:00", of_columns(60));
    CHECK(chart ==
          "a    ▁▂ █  8\n"
          "bb  █▄▁  0.001\n"
          "    10:00\n"
          "all from 0 to 8\n");
}

TEST_CASE("what is wider than the terminal is shown by its largest values") {
    std::vector<double> values(1000, 1);
    values[500] = 8;
    const std::string chart =
        draw_chart({{"a", values}, {"b", {}}}, "10:00", "11:00", of_columns(40));
    const std::string line = chart.substr(0, chart.find('\n'));
    CHECK(display_width(line) <= 40);
    CHECK(line.find("▁█▁") != std::string::npos);
    CHECK(chart.find("b    -\n") != std::string::npos);
    CHECK(chart.find("11:00\n") != std::string::npos);
    // A name that is too long gives way.
    const std::string named =
        draw_chart({{std::string(200, 'x'), {1}}, {"b", {1}}}, "", "", of_columns(40));
    CHECK(display_width(named.substr(0, named.find('\n'))) <= 40);
    CHECK(named.find("…") != std::string::npos);
}

TEST_CASE("one series is tall, with its scale") {
    const std::string chart = draw_chart({{"rate", {0, 4, 8}}}, "10:00", "11:00", of_columns(60));
    CHECK(chart.starts_with("rate  last 8\n"));
    CHECK(chart.find(" 8   █\n") != std::string::npos);
    CHECK(chart.find(" 0  ██\n") != std::string::npos);
    CHECK(draw_chart({}, "", "", of_columns(60)).starts_with("no series"));
}

}  // namespace spanloom
