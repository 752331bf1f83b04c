#include "traceql/counted_spans.h"

#include <string>

#include <doctest/doctest.h>

#include "traceql/checker.h"

// What the counts give is tested where there is a store that ages
// (src/api/counted_metrics_test.cc).
namespace spanloom::traceql {
namespace {

std::string refused(std::string_view text) {
    const auto query = parse(text);
    REQUIRE_MESSAGE(query.has_value(), text);
    const size_t metric = metric_in(query->stages);
    return refuse_counts(std::span<const Stage>(query->stages).first(metric),
                         query->stages[metric]);
}

}  // namespace

TEST_CASE("which metrics counts of service, name, kind and failure can answer") {
    for (const char* text : {
             "{ } | rate()",
             "{ true } | rate()",
             "{ resource.service.name = \"a\" } | count_over_time()",
             "{ \"a\" != resource.service.name } | count_over_time()",
             "{ resource.service.name =~ \"a|b\" && name !~ \"c.*\" } | rate() by (name)",
             "{ span:kind = server || !(span:name = \"x\") } | rate() by (kind, span:name)",
             "{ status = error } | rate() by (resource.service.name)",
             "{ error != span:status } | rate()",
             "{ kind = client } | { status = error } | histogram_over_time(duration)",
             "{ } | quantile_over_time(span:duration, .5, .9) | topk(5)",
             "{ } | min_over_time(duration)",
             "{ } | max_over_time(duration)",
             "{ } | avg_over_time(duration) > 1s",
             "{ } | sum_over_time(duration)",
         }) {
        CAPTURE(text);
        CHECK(refused(text) == "");
    }
    for (const char* text : {
             "{ span.x = 1 } | rate()",
             "{ .service.name = \"a\" } | rate()",
             "{ span.service.name = \"a\" } | rate()",
             "{ parent.resource.service.name = \"a\" } | rate()",
             "{ resource.service.version = \"a\" } | rate()",
             "{ name = resource.service.name } | rate()",
             "{ duration > 1s } | rate()",
             "{ status = ok } | rate()",
             "{ status != unset } | rate()",
             "{ status = error || status = ok } | rate()",
             "{ trace:rootName = \"a\" } | rate()",
             "{ span.ok } | rate()",
             "{ } >> { status = error } | rate()",
             "{ } && { status = error } | rate()",
             "({ status = error } | count() > 1) | rate()",
             "{ } | count() > 1 | rate()",
             "{ } | by(name) | rate()",
             "{ } | rate() by (status)",
             "{ } | rate() by (span.x)",
             "{ } | rate() by (name, parent.name)",
             "{ } | sum_over_time(span.x)",
             "{ } | max_over_time(duration * 2)",
             "{ } | max_over_time(trace:duration)",
             "{ } | compare({ status = error })",
         }) {
        CAPTURE(text);
        CHECK(refused(text) != "");
    }
}

}  // namespace spanloom::traceql
