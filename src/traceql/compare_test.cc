#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "store/segment.h"
#include "store/string_file.h"
#include "traceql/checker.h"
#include "traceql/executor.h"
#include "traceql/fixture_for_test.h"
#include "traceql/series.h"

using namespace spanloom;
using namespace spanloom::traceql;

namespace {

constexpr int kTraces = 250;
constexpr int kSpans = 12;  // of each

// Few names; attributes that follow from them always, mostly and not at all.
std::string many_spans(bool is_sampled) {
    std::string text;
    for (int i = 0; i < kTraces * kSpans; ++i) {
        const int which = i % 5;
        if (i % kSpans == 0) text += fmt::format("trace {:x}\n", i + 1);
        text += fmt::format("span s{} start={} dur=1 service={} name=\"N{}\" span.session=\"s-{}\"",
                            i, i, which < 3 ? "front" : "back", which, i * 17);
        text += fmt::format(" span.user=\"u{}\" span.size={}", i % 40, i * 7);
        if (i % 13 == 0) text += " status=error";
        if (which != 4) text += fmt::format(" span.route=\"/r{}\" span.port={}", which, 80 + which);
        if (which != 3) text += fmt::format(" span.code={}", i % 10 == 0 ? 500 : 200);
        if (i % 7 == 0) text += " span.ratio=0.5 span.cached=true";
        if (is_sampled && i % 3 == 0) text += " state=\"ot=th:8\"";
        text += "\n";
    }
    return text;
}

std::string answer_of(const std::string& asked,
                      const std::vector<std::shared_ptr<const store::Segment>>& segments,
                      uint64_t step_ns, MetricsOptions::Evaluation evaluation) {
    const auto query = parse(asked);
    REQUIRE_MESSAGE(query.has_value(), (query ? "" : query.error().text()));
    MetricsOptions options;
    options.range = {kFixtureNs, kFixtureNs + 3'000'000'000};
    options.step_ns = step_ns;
    options.evaluation = evaluation;
    SystemClock clock;
    const auto answer = query_metrics(*query, segments, options, clock);
    REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
    CHECK(!answer->stats.partial);
    std::string text;
    for (const Series& one : answer->series) {
        text += labels_text(one.labels) + " |";
        for (const double value : one.values)
            text += fmt::format(" {:.9g}", value);
        text += "\n";
    }
    return text;
}

}  // namespace

TEST_CASE("compare() counts spans by their names, columns and rows alike") {
    for (const bool is_sampled : {false, true}) {
        CAPTURE(is_sampled);
        store::SegmentBuilder builder({512, 0, {}});
        const Fixture fixture = Fixture::parse(many_spans(is_sampled));
        for (const FixtureSpan& span : fixture.spans())
            builder.add(span.batch);
        auto image = builder.finish();
        REQUIRE(image.has_value());
        auto made = store::Segment::open(std::move(*image));
        REQUIRE(made.has_value());
        const std::vector<std::shared_ptr<const store::Segment>> fresh = {*made};
        store::StringFile file;
        REQUIRE(store::merge_segments(fresh, {512, 1, {}}, file, {}).has_value());
        auto opened = store::Segment::open(Blob::copy_of(file.bytes));
        REQUIRE(opened.has_value());
        const std::vector<std::shared_ptr<const store::Segment>> merged = {*opened};
        const auto kinds = merged[0]->row_kinds(0);
        REQUIRE(kinds.has_value());
        CHECK(*kinds != nullptr);

        for (const char* asked :
             {"{ } | compare({ status = error })", "{ } | compare({ span.user = \"u3\" }, 3)",
              "{ resource.service.name = \"front\" } | compare({ span.code = 500 })",
              "{ span.session =~ \"s-.*1\" } | compare({ false || span.size > 10000 }, 20)",
              "{ } | compare({ span.route = \"/r1\" && name = \"nothing\" })"}) {
            for (const uint64_t step_ns : {0ULL, 100'000'000ULL, 1'500'000'000ULL}) {
                CAPTURE(asked);
                CAPTURE(step_ns);
                using Evaluation = MetricsOptions::Evaluation;
                const std::string expected = answer_of(asked, fresh, step_ns, Evaluation::kTraces);
                CHECK(expected.find("__meta_type=\"baseline_total\"") != std::string::npos);
                REQUIRE(answer_of(asked, fresh, step_ns, Evaluation::kBest) == expected);
                REQUIRE(answer_of(asked, merged, step_ns, Evaluation::kTraces) == expected);
                REQUIRE(answer_of(asked, merged, step_ns, Evaluation::kBest) == expected);
            }
        }
    }
}
