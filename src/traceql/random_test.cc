#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "store/string_file.h"
#include "traceql/checker.h"
#include "traceql/evaluator.h"
#include "traceql/executor.h"
#include "traceql/fixture_for_test.h"
#include "traceql/naive_for_test.h"
#include "traceql/planner.h"
#include "traceql/printer.h"
#include "traceql/series.h"
#include "traceql/span_scan.h"

using namespace spanloom;
using namespace spanloom::traceql;

namespace {

// Random traces and queries from one seed.
class Dice {
  public:
    explicit Dice(uint64_t seed) : random_(seed) {}

    uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
    bool one_in(uint32_t count) { return below(count) == 0; }
    template <size_t N>
    std::string pick(const char* const (&words)[N]) {
        return words[below(N)];
    }

    // ---- traces

    std::string literal() {
        switch (below(4)) {
            case 0:
                return std::to_string(below(4));
            case 1:
                return pick({"0.5", "1.5", "2.5"});
            case 2:
                return pick({"\"x\"", "\"y\"", "\"1\""});
            default:
                return pick({"true", "false"});
        }
    }

    static store::Value value_of(const std::string& text) {
        if (text[0] == '"') return store::Value::of_string(text.substr(1, text.size() - 2));
        if (text == "true" || text == "false") return store::Value::of_bool(text == "true");
        if (text.find('.') != std::string::npos) return store::Value::of_double(std::stod(text));
        return store::Value::of_int(std::stoll(text));
    }

    // Adds a trace to the text of a fixture.
    naive::Trace trace(size_t number, std::string& text) {
        naive::Trace trace;
        text += fmt::format("trace {:x}\n", number + 1);
        const uint32_t spans = 1 + below(9);
        for (uint32_t i = 0; i < spans; ++i) {
            naive::Span span;
            span.name = fmt::format("t{}s{}", number, i);
            std::string line = "span " + span.name;
            span.parent = i == 0 || one_in(6) ? -1 : static_cast<int>(below(i));
            if (span.parent >= 0) line += fmt::format(" parent=t{}s{}", number, span.parent);
            if (span.parent < 0 && one_in(3)) {
                span.parent = -2;
                line += " parent=#ffff";
            }
            span.start_ms = static_cast<int64_t>(number * 1000 + i);
            const uint32_t duration_ms = below(5);
            span.duration_ns = int64_t{duration_ms} * 1'000'000;
            line += fmt::format(" start={} dur={}", span.start_ms, duration_ms);
            span.service = pick({"a", "b", "c"});
            line += " service=" + span.service;
            if (one_in(3)) {
                span.status = 2;
                line += " status=error";
            }
            if (one_in(2)) {
                span.kind = 2;
                line += " kind=server";
            }
            for (const char* key : {"n", "m"}) {
                if (one_in(3)) continue;
                const std::string value = literal();
                line += fmt::format(" span.{}={}", key, value);
                span.attributes[key] = value_of(value);
            }
            text += line + "\n";
            for (uint32_t event = below(3); event > 0; --event) {
                naive::Child child;
                child.name = pick({"e", "f"});
                const std::string value = literal();
                child.attributes["n"] = value_of(value);
                text += fmt::format("event {} at=1 n={}\n", child.name, value);
                span.events.push_back(std::move(child));
            }
            trace.push_back(std::move(span));
        }
        return trace;
    }

    // ---- queries

    std::string comparison() {
        const std::string op = pick({"=", "!=", "<", "<=", ">", ">="});
        const std::string equality = pick({"=", "!="});
        switch (below(13)) {
            case 0:
                return "status " + equality + pick({" error", " unset"});
            case 1:
                return "kind " + equality + " server";
            case 2:
                return "duration " + op + pick({" 1ms", " 2ms", " 3ms"});
            case 3:
                return "resource.service.name " + op + pick({" \"a\"", " \"b\""});
            case 4:
                return "event:name " + equality + pick({" \"e\"", " \"f\""});
            case 5:
                return "event.n " + op + " " + literal_for(op);
            case 6:
                return pick({"span.n", "span.m", ".n", "event.n"}) + " " + equality + " nil";
            case 7:
                return "span.n " + pick({"+", "-", "*"}) + " span.m " + op + " " +
                       std::to_string(below(4));
            case 8:
                return "parent." + pick({"span.n", "resource.service.name", "n"}) + " " + op + " " +
                       literal_for(op);
            case 9:
                return "span:childCount " + op + " " + std::to_string(below(3));
            case 10:
                return pick({".n", "span.m", "resource.service.name"}) + pick({" =~ ", " !~ "}) +
                       pick({"\"x\"", "\"a\""});
            default:
                return pick({"span.n", "span.m", ".n"}) + " " + op + " " + literal_for(op);
        }
    }

    std::string literal_for(const std::string& op) {
        std::string text = literal();
        while ((text == "true" || text == "false") && op != "=" && op != "!=")
            text = literal();
        return text;
    }

    std::string condition(int depth) {
        if (depth == 0 || one_in(2)) return comparison();
        switch (below(3)) {
            case 0:
                return "!(" + condition(depth - 1) + ")";
            case 1:
                return "(" + condition(depth - 1) + ") || (" + condition(depth - 1) + ")";
            default:
                return "(" + condition(depth - 1) + ") && (" + condition(depth - 1) + ")";
        }
    }

    std::string spanset(int depth) {
        if (depth == 0 || one_in(2))
            return one_in(6) ? "{ }" : "{ " + condition(static_cast<int>(below(3))) + " }";
        const std::string op = pick(
            {"&&", "||", ">",   ">>", "<",   "<<", "~",     "!>",    "!>>",   "!<",     "!<<",
             "!~", "&>", "&>>", "&<", "&<<", "&~", ">>[1]", ">>[2]", "<<[2]", "!>>[2]", "&<<[1]"});
        return "(" + spanset(depth - 1) + ") " + op + " (" + spanset(depth - 1) + ")";
    }

    std::string pipeline() {
        std::string out = spanset(static_cast<int>(below(3)));
        for (uint32_t stages = below(3); stages > 0; --stages) {
            switch (below(5)) {
                case 0:
                    out += " | by(" + pick({"resource.service.name", "span.n", "status"}) + ")";
                    break;
                case 1:
                    out += " | count() " + pick({">", "<=", "="}) + " " + std::to_string(below(4));
                    break;
                case 2:
                    out += " | " + pick({"avg", "min", "max", "sum"}) + "(" +
                           pick({"duration", "span.n"}) + ") " + pick({">", "<"}) + " " +
                           pick({"1", "1ms", "2000000"});
                    break;
                case 3:
                    out += " | coalesce()";
                    break;
                default:
                    out += " | " + spanset(static_cast<int>(below(2)));
            }
        }
        return out;
    }

    std::string metric() {
        std::string out = (one_in(2) ? "{ " + condition(1) + " }" : spanset(2)) + " | ";
        if (one_in(4))
            out =
                "{ nestedSetParent < 0" + (one_in(2) ? " }" : " && " + comparison() + " }") + " | ";
        if (one_in(4)) {
            out += "compare({ " + condition(1) + " }";
            if (one_in(2)) out += ", " + std::to_string(1 + below(5));
            return out + ")";
        }
        switch (below(4)) {
            case 0:
                out += pick({"rate()", "count_over_time()"});
                break;
            case 1:
                out += pick({"sum", "min", "max", "avg"}) + "_over_time(" +
                       pick({"duration", "span.n", ".n"}) + ")";
                break;
            case 2:
                out += "quantile_over_time(" + pick({"duration", "span.n"}) + ", .5, .9)";
                break;
            default:
                out += "histogram_over_time(" + pick({"duration", "span.m"}) + ")";
        }
        if (one_in(3)) return out;
        out += " by(" + pick({"resource.service.name", "name", "span.n", ".n", "status", "kind",
                              "event:name", "event.n", "rootName"});
        if (one_in(3)) out += ", " + pick({"status", "resource.service.name", "span.m"});
        return out + ")";
    }

  private:
    std::mt19937_64 random_;
};

// The same segments with few rows in each row group, so that there are many of these.
std::vector<std::shared_ptr<const store::Segment>> in_small_groups(store::Segments segments) {
    std::vector<std::shared_ptr<const store::Segment>> small;
    for (const auto& segment : segments) {
        store::StringFile file;
        const auto merged = store::merge_segments(std::span(&segment, 1), {3, 1, {}}, file, {});
        REQUIRE_MESSAGE(merged.has_value(), (merged ? "" : merged.error().message));
        auto opened = store::Segment::open(Blob::copy_of(file.bytes));
        REQUIRE(opened.has_value());
        small.push_back(std::move(*opened));
    }
    return small;
}

std::string names(const std::set<std::string>& list) {
    std::string out;
    for (const std::string& name : list)
        out += name + " ";
    return out;
}

}  // namespace

TEST_CASE("random queries on random traces answer what the definition says") {
    size_t found = 0;
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        Dice dice(seed);
        std::string text;
        std::vector<naive::Trace> traces;
        for (size_t i = 0; i < 12; ++i)
            traces.push_back(dice.trace(i, text));
        const Fixture fixture = Fixture::parse(text);
        const auto stores = every_store(fixture);
        SystemClock clock;
        for (int i = 0; i < 250; ++i) {
            const std::string asked = dice.pipeline();
            CAPTURE(seed);
            CAPTURE(asked);
            const auto query = parse(asked);
            REQUIRE_MESSAGE(query.has_value(), (query ? "" : query.error().text()));
            const auto again = parse(print(*query));
            REQUIRE_MESSAGE(again.has_value(), print(*query));
            CHECK(print(*again) == print(*query));
            std::set<std::string> expected;
            for (const naive::Trace& trace : traces) {
                const naive::Evaluation evaluation(trace);
                for (const naive::Set& set : evaluation.run(query->stages, evaluation.all())) {
                    for (const int span : set)
                        expected.insert(trace[static_cast<size_t>(span)].name);
                }
            }
            found += expected.size();
            SearchOptions options;
            options.limit = 100;
            options.spans_per_trace = 100;
            for (const auto& stored : stores) {
                CAPTURE(stored->how);
                const auto answer = search(*query, stored->segments, options, clock);
                REQUIRE(answer.has_value());
                std::set<std::string> got;
                for (const TraceFound& trace : answer->traces) {
                    for (const store::MatchedSpan& span : trace.summary.matched_spans)
                        got.insert(span.name);
                }
                REQUIRE(names(got) == names(expected));
            }
        }
    }
    CHECK(found > 10'000);
}

TEST_CASE("a sample of row groups stands for all of them") {
    std::string text;
    for (int i = 0; i < 400; ++i)
        text += fmt::format("trace {:x}\nspan t{} start={} dur=1 service=a{} span.n=1\n", i + 1, i,
                            i + 1, i % 10 == 0 ? " status=error" : "");
    const auto stores = every_store(Fixture::parse(text));
    const auto small = in_small_groups(stores[0]->segments);
    const auto ask = [&](const std::string& hint) {
        const auto query = parse("{ } | compare({ status = error })" + hint);
        REQUIRE(query.has_value());
        MetricsOptions options;
        options.range = {kFixtureNs, kFixtureNs + 1'000'000'000};
        SystemClock clock;
        auto answer = query_metrics(*query, small, options, clock);
        REQUIRE(answer.has_value());
        return std::move(*answer);
    };
    const auto total = [](const MetricsAnswer& answer, const std::string& type) {
        for (const Series& one : answer.series) {
            if (labels_text(one.labels).find(type) != std::string::npos &&
                labels_text(one.labels).find("span.n") != std::string::npos)
                return one.values[0];
        }
        return 0.0;
    };
    const MetricsAnswer all = ask("");
    CHECK(all.notes.empty());
    CHECK(total(all, "baseline_total") == 360);
    CHECK(total(all, "selection_total") == 40);
    CHECK(ask(" with(sample=true)").notes.empty());
    const MetricsAnswer some = ask(" with(sample=0.25)");
    REQUIRE(some.notes.size() == 1);
    CHECK(some.notes[0].find("25.0 %") != std::string::npos);
    CHECK(total(some, "baseline_total") + total(some, "selection_total") ==
          doctest::Approx(400).epsilon(0.05));
    CHECK(total(ask(" with(sample=0.25)"), "baseline_total") == total(some, "baseline_total"));
}

TEST_CASE("columns and whole traces count the same series") {
    const auto series_of = [](const Query& query, store::Segments segments,
                              MetricsOptions::Evaluation evaluation) {
        SystemClock clock;
        MetricsOptions options;
        options.range = {kFixtureNs, kFixtureNs + 12'000'000'000};
        options.step_ns = 1'500'000'000;
        options.exemplars = 20;
        options.evaluation = evaluation;
        const auto pool = make_thread_pool(2, "test");
        options.executor = pool.get();
        options.helpers = 2;
        const auto answer = query_metrics(query, segments, options, clock);
        REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
        CHECK(!answer->stats.partial);
        std::string text;
        for (const Series& one : answer->series) {
            text += labels_text(one.labels) + " |";
            for (const double value : one.values)
                text += fmt::format(" {:.9g}", value);
            for (const Exemplar& exemplar : one.exemplars)
                text += fmt::format(" {}@{}={:.9g}", exemplar.span_id.hex(), exemplar.time_ns,
                                    exemplar.value);
            text += "\n";
        }
        return text;
    };
    size_t by_columns = 0;
    size_t by_forest = 0;
    for (uint64_t seed = 21; seed <= 24; ++seed) {
        Dice dice(seed);
        std::string text;
        for (size_t i = 0; i < 12; ++i)
            dice.trace(i, text);
        const auto stores = every_store(Fixture::parse(text));
        const std::vector<std::vector<std::shared_ptr<const store::Segment>>> small = {
            in_small_groups(stores[0]->segments), in_small_groups(stores[1]->segments)};
        for (int i = 0; i < 150; ++i) {
            const std::string asked = dice.metric();
            CAPTURE(seed);
            CAPTURE(asked);
            const auto query = parse(asked);
            REQUIRE_MESSAGE(query.has_value(), (query ? "" : query.error().text()));
            const std::span<const Stage> all(query->stages);
            const Stage& metric = query->stages[1];
            const SpanQuestion question(all.first(1),
                                        metric.selection ? &*metric.selection : nullptr);
            by_columns += question.way() == SpanQuestion::Way::kColumns ? 1 : 0;
            by_forest += question.way() == SpanQuestion::Way::kForest ? 1 : 0;
            const std::string expected =
                series_of(*query, stores[0]->segments, MetricsOptions::Evaluation::kTraces);
            for (const auto& stored : stores) {
                CAPTURE(stored->how);
                REQUIRE(series_of(*query, stored->segments, MetricsOptions::Evaluation::kBest) ==
                        expected);
            }
            for (size_t part = 0; part < small.size(); ++part) {
                CAPTURE(part);
                REQUIRE(series_of(*query, small[part], MetricsOptions::Evaluation::kBest) ==
                        expected);
            }
        }
    }
    CHECK(by_columns > 100);
    CHECK(by_forest > 100);
}
