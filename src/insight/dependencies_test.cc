#include "insight/dependencies.h"

#include <doctest/doctest.h>

#include "otlp/writer.h"
#include "store/search_test_model.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

std::string shown(const insight::DependencyGraph& graph) {
    std::string out;
    for (const auto& edge : graph.edges) {
        out += edge.parent + ">" + edge.child + " " + std::to_string(edge.calls) + "," +
               std::to_string(edge.errors) + " ";
    }
    return out;
}

}  // namespace

TEST_CASE("an edge is counted wherever a span's parent belongs to another service") {
    ModelStore model;
    model.add({{.trace = 1, .span = 1, .start = 100, .service = "front"},
               {.trace = 1, .span = 2, .parent = 1, .start = 110, .service = "front"},
               {.trace = 1, .span = 3, .parent = 2, .start = 120, .service = "cart", .error = true},
               {.trace = 2, .span = 4, .start = 200, .service = "front"},
               {.trace = 2, .span = 5, .parent = 4, .start = 210, .service = "cart"},
               {.trace = 2, .span = 6, .parent = 99, .start = 220, .service = "db"}});
    const auto graph = insight::find_dependencies(model.segments(), {});
    REQUIRE(graph.has_value());
    CHECK(shown(*graph) == "front>cart 2,1 ");
    CHECK(graph->spans == 6);
    CHECK_FALSE(graph->partial);
}

TEST_CASE("parent and child may lie in different segments, and a resend counts once") {
    const ModelSpan child{.trace = 1, .span = 2, .parent = 1, .start = 110, .service = "cart"};
    ModelStore model;
    model.add({child});
    model.add({{.trace = 1, .span = 1, .start = 100, .service = "front"}, child});
    const auto graph = insight::find_dependencies(model.segments(), {});
    REQUIRE(graph.has_value());
    CHECK(shown(*graph) == "front>cart 1,0 ");
}

TEST_CASE("only spans that start in the range are counted, their parents may be older") {
    ModelStore model;
    model.add({{.trace = 1, .span = 1, .start = 100, .duration = 900, .service = "front"},
               {.trace = 1, .span = 2, .parent = 1, .start = 110, .service = "cart"},
               {.trace = 1, .span = 3, .parent = 1, .start = 510, .service = "db"}});
    const auto graph = insight::find_dependencies(model.segments(), {500, 600});
    REQUIRE(graph.has_value());
    CHECK(shown(*graph) == "front>db 1,0 ");
}

TEST_CASE("self parents and cycles are counted like everything else") {
    ModelStore model;
    model.add({{.trace = 1, .span = 1, .parent = 1, .start = 100, .service = "a"},
               {.trace = 1, .span = 2, .parent = 3, .start = 100, .service = "a"},
               {.trace = 1, .span = 3, .parent = 2, .start = 100, .service = "b"}});
    const auto graph = insight::find_dependencies(model.segments(), {});
    REQUIRE(graph.has_value());
    CHECK(shown(*graph) == "a>b 1,0 b>a 1,0 ");
}

TEST_CASE("what is beyond the limits is said, not swallowed") {
    SeededRandom random(1);
    ModelStore model(random, 2, 200);
    const auto graph = insight::find_dependencies(model.segments(), {}, {.spans_max = 50});
    REQUIRE(graph.has_value());
    CHECK(graph->spans == 50);
    CHECK(graph->partial);
    CHECK(graph->reason.find("more than 50 spans") != std::string::npos);
    const auto small = insight::find_dependencies(model.segments(), {}, {.trace_spans_max = 2});
    REQUIRE(small.has_value());
    CHECK(small->partial);
    const auto few = insight::find_dependencies(model.segments(), {}, {.edges_max = 1});
    REQUIRE(few.has_value());
    CHECK(few->edges.size() == 1);
    CHECK(few->partial);
}
