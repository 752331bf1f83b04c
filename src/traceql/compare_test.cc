#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "store/group_reader.h"
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
    options.series_max = 10'000;
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

TEST_CASE("compare() counts attributes that have no column of their own") {
    constexpr int kKeys = 1'100;  // more than a span may have columns
    std::string text;
    for (int i = 0; i < 40; ++i) {
        text += fmt::format("trace {:x}\nspan s{} start={} dur=1 service=front", i + 1, i, i + 1);
        if (i % 4 == 0) text += " status=error";
        for (int key = 0; key < kKeys; ++key)
            text += fmt::format(" span.k{}=\"v{}\"", key, i % 3);
        text += "\n";
    }
    store::SegmentBuilder builder({16, 0, {}});
    const Fixture fixture = Fixture::parse(text);
    for (const FixtureSpan& span : fixture.spans())
        builder.add(span.batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto made = store::Segment::open(std::move(*image));
    REQUIRE(made.has_value());
    const std::vector<std::shared_ptr<const store::Segment>> segments = {*made};
    REQUIRE(store::SegmentReader(*made).column(store::Table::kSpans, store::RowField::kOverflow) !=
            store::kNoColumn);
    using Evaluation = MetricsOptions::Evaluation;
    for (const auto evaluation : {Evaluation::kBest, Evaluation::kTraces}) {
        const std::string answer =
            answer_of("{ } | compare({ status = error })", segments, 0, evaluation);
        for (const int key : {0, kKeys - 1}) {
            CAPTURE(key);
            const auto has = [&](std::string_view type, std::string_view value, int count) {
                return answer.find(fmt::format("__meta_type=\"{}\", span.k{}=\"{}\" | {}\n", type,
                                               key, value, count)) != std::string::npos;
            };
            CHECK(has("selection", "v0", 4));
            CHECK(has("selection", "v1", 3));
            CHECK(has("baseline", "v0", 10));
            CHECK(has("baseline", "v2", 10));
            CHECK(has("selection_total", "nil", 10));
            CHECK(has("baseline_total", "nil", 30));
        }
    }
}

TEST_CASE("compare() of more keys than its memory holds says so") {
    std::string text;
    for (int i = 0; i < 200; ++i) {
        text += fmt::format("trace {:x}\nspan s{} start={} dur=1 service=front", i + 1, i, i + 1);
        for (int key = 0; key < 20; ++key)
            text += fmt::format(" span.k{}-{}=1", i, key);
        text += "\n";
    }
    store::SegmentBuilder builder({16, 0, {}});
    const Fixture fixture = Fixture::parse(text);
    for (const FixtureSpan& span : fixture.spans())
        builder.add(span.batch);
    auto image = builder.finish();
    REQUIRE(image.has_value());
    auto made = store::Segment::open(std::move(*image));
    REQUIRE(made.has_value());
    const std::vector<std::shared_ptr<const store::Segment>> segments = {*made};
    const auto query = parse("{ } | compare({ status = error })");
    REQUIRE(query.has_value());
    MetricsOptions options;
    options.range = {kFixtureNs, kFixtureNs + 3'000'000'000};
    options.memory_bytes_max = 256U << 10;
    SystemClock clock;
    const auto answer = query_metrics(*query, segments, options, clock);
    REQUIRE(answer.has_value());
    CHECK(answer->stats.partial);
    CHECK(answer->stats.reason.find("more memory than a query may have") != std::string::npos);
    CHECK(answer->series.size() < 4'000);
}
