#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "otlp/batch.h"
#include "traceql/checker.h"
#include "traceql/evaluator.h"
#include "traceql/executor.h"
#include "traceql/fixture_for_test.h"
#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/planner.h"
#include "traceql/printer.h"
#include "traceql/series.h"
#include "traceql/trace.h"

using namespace spanloom;
using namespace spanloom::traceql;

namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path);
    REQUIRE_MESSAGE(in.good(), path.string());
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

using Lines = std::vector<std::string>;

Fixture read_fixture(const std::string& name) {
    const auto text = read_file(std::filesystem::path(SPANLOOM_TRACEQL_CASES) / name);
    return name.ends_with(".json") ? Fixture::parse_json(text) : Fixture::parse(text);
}

std::string unescape_lines(std::string text) {
    size_t at = 0;
    while ((at = text.find("\\n", at)) != std::string::npos)
        text.replace(at, 2, "\n");
    return text;
}

std::string joined(const Lines& words, char between = ' ') {
    std::string out;
    for (const std::string& word : words) {
        if (!out.empty()) out += between;
        out += word;
    }
    return out;
}

Lines sorted_words(const std::string& text) {
    std::istringstream in(text);
    Lines words{std::istream_iterator<std::string>(in), {}};
    std::sort(words.begin(), words.end());
    return words;
}

// One case: a query and what must come of it.
struct Case {
    size_t line = 0;
    std::string fixture = "traces.json";
    store::TimeRange grid;
    uint64_t step_ns = 0;
    std::string query;
    std::vector<std::pair<char, std::string>> checks;
};

std::vector<Case> read_cases(const std::filesystem::path& path) {
    std::istringstream lines(read_file(path));
    std::vector<Case> cases;
    Case now;
    std::string line;
    for (size_t number = 1; std::getline(lines, line); ++number) {
        if (line.empty() || line[0] == '#') continue;
        const std::string rest = line.size() > 2 ? line.substr(2) : "";
        if (line[0] == '@') {
            now.fixture = rest;
        } else if (line[0] == '%') {
            std::istringstream in(rest);
            uint64_t start = 0;
            uint64_t end = 0;
            uint64_t step = 0;
            in >> start >> end >> step;
            now.grid = {kFixtureNs + start * 1'000'000, kFixtureNs + end * 1'000'000};
            now.step_ns = step * 1'000'000;
        } else if (line[0] == '?') {
            now.line = number;
            now.query = unescape_lines(rest);
            cases.push_back(now);
        } else {
            REQUIRE(!cases.empty());
            cases.back().checks.emplace_back(line[0], rest);
        }
    }
    return cases;
}

// What a query leaves of a fixture, in one kind of store.
struct Outcome {
    Lines names;     // of all spans
    Lines spansets;  // "count()=2: a b"
    Lines order;     // trace ids without leading zeros
    Lines series;    // "label=value | 1 2 -"
};

std::string spanset_text(const Fixture& fixture, const SpansetFound& set) {
    std::string out;
    for (const auto& [name, value] : set.attributes)
        out += (out.empty() ? "" : " ") + name + "=" + print(value);
    out += ":";
    for (const store::MatchedSpan& span : set.spans)
        out += " " + fixture.name_of(span.span_id, span.name);
    return out;
}

Outcome ask(const Query& query, const Case& one, const Fixture& fixture, store::Segments segments) {
    SystemClock clock;
    Outcome outcome;
    if (is_metrics(query)) {
        MetricsOptions options;
        options.range = one.grid;
        options.step_ns = one.step_ns;
        const auto answer = query_metrics(query, segments, options, clock);
        REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
        CHECK_MESSAGE(!answer->stats.partial, answer->stats.reason);
        for (const Series& series : answer->series) {
            std::string text = labels_text(series.labels) + " |";
            CHECK(series.values.size() == answer->intervals);
            for (const double value : series.values)
                text += std::isnan(value) ? " -" : fmt::format(" {:.9g}", value);
            outcome.series.push_back(text);
        }
        return outcome;
    }
    SearchOptions options;
    options.limit = 100;
    options.spans_per_trace = 100;
    const auto answer = search(query, segments, options, clock);
    REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
    CHECK_MESSAGE(!answer->stats.partial, answer->stats.reason);
    for (const TraceFound& trace : answer->traces) {
        const std::string id = trace.summary.trace_id.hex();
        outcome.order.push_back(id.substr(std::min(id.find_first_not_of('0'), id.size() - 1)));
        CHECK(trace.summary.matched == trace.summary.matched_spans.size());
        for (const store::MatchedSpan& span : trace.summary.matched_spans)
            outcome.names.push_back(fixture.name_of(span.span_id, span.name));
        for (const SpansetFound& set : trace.spansets)
            outcome.spansets.push_back(spanset_text(fixture, set));
    }
    std::sort(outcome.names.begin(), outcome.names.end());
    return outcome;
}

// The same from whole traces read as messages.
Lines names_of_messages(const Query& query, const Fixture& fixture, store::Segments segments) {
    std::set<TraceId> ids;
    for (const FixtureSpan& span : fixture.spans())
        ids.insert(span.batch.span(span.batch.spans[0]).trace_id);
    Lines names;
    Evaluator evaluator(query);
    for (const TraceId& id : ids) {
        const auto stored = store::read_trace(segments, id);
        REQUIRE(stored.has_value());
        const auto trace = Trace::read(*stored);
        REQUIRE(trace.has_value());
        for (const uint32_t row : evaluator.matches(*trace)) {
            const otlp::SpanView& span = trace->spans[row];
            names.push_back(fixture.name_of(span.span_id, std::string(span.name)));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

void check_text(const Case& one, const Parsed<Query>& query) {
    for (const auto& [what, rest] : one.checks) {
        if (what == '!') {
            REQUIRE(!query.has_value());
            const std::string got = fmt::format("{}:{} {}", query.error().line,
                                                query.error().column, query.error().text());
            const size_t blank = rest.find(' ');
            CHECK_MESSAGE(got.starts_with(rest.substr(0, blank + 1)), got);
            CHECK_MESSAGE(got.find(rest.substr(blank + 1)) != std::string::npos, got);
        } else {
            REQUIRE_MESSAGE(query.has_value(), (query ? "" : query.error().text()));
        }
        if (what == '=') CHECK(print(*query) == rest);
        if (what != '>') continue;
        const Plan plan = make_plan(*query);
        CHECK((plan.is_exact ? "exact " : "candidates ") + predicate_text(plan.candidates) == rest);
    }
    if (!query) return;
    // Printing and parsing again changes nothing.
    const auto again = parse(print(*query));
    REQUIRE_MESSAGE(again.has_value(), (again ? "" : again.error().text()));
    CHECK(print(*again) == print(*query));
}

void check_outcome(const Case& one, const Outcome& got) {
    Lines spansets;
    Lines series;
    bool has_spansets = false;
    bool has_series = false;
    for (const auto& [what, rest] : one.checks) {
        if (what == '*') CHECK(joined(got.names) == joined(sorted_words(rest)));
        if (what == '^') CHECK(joined(got.order) == rest);
        has_spansets = has_spansets || what == '+';
        has_series = has_series || what == '~';
        if (what == '+' && !rest.empty()) spansets.push_back(rest);
        if (what == '~' && !rest.empty()) series.push_back(rest);
    }
    if (has_spansets) CHECK(joined(got.spansets, '\n') == joined(spansets, '\n'));
    if (has_series) CHECK(joined(got.series, '\n') == joined(series, '\n'));
}

}  // namespace

TEST_CASE("every case of the case files comes out as written, in every kind of store") {
    size_t count = 0;
    std::map<std::string, Fixture> fixtures;
    std::map<std::string, std::vector<std::unique_ptr<StoredFixture>>> stores;
    for (const auto& entry : std::filesystem::directory_iterator(SPANLOOM_TRACEQL_CASES)) {
        if (entry.path().extension() != ".test") continue;
        for (const Case& one : read_cases(entry.path())) {
            const std::string where =
                fmt::format("{}:{}: {}", entry.path().filename().string(), one.line, one.query);
            CAPTURE(where);
            ++count;
            const auto query = parse(one.query);
            check_text(one, query);
            if (!query) continue;
            if (!fixtures.contains(one.fixture)) {
                fixtures.emplace(one.fixture, read_fixture(one.fixture));
                stores.emplace(one.fixture, every_store(fixtures.at(one.fixture)));
            }
            const Fixture& fixture = fixtures.at(one.fixture);
            if (is_metrics(*query) && one.step_ns == 0 && one.grid.start_ns == 0) continue;
            for (const auto& stored : stores.at(one.fixture)) {
                CAPTURE(stored->how);
                check_outcome(one, ask(*query, one, fixture, stored->segments));
                if (is_metrics(*query)) continue;
                Outcome whole;
                whole.names = names_of_messages(*query, fixture, stored->segments);
                for (const auto& [what, rest] : one.checks) {
                    if (what == '*') CHECK(joined(whole.names) == joined(sorted_words(rest)));
                }
            }
        }
    }
    CHECK(count > 600);
}

TEST_CASE("every example of the user's page is answered") {
    const auto page = std::filesystem::path(SPANLOOM_TRACEQL_CASES) / "../../docs/user/traceql.md";
    std::istringstream lines(read_file(page));
    const Fixture fixture = read_fixture("series.spans");
    const auto stores = every_store(fixture);
    std::string line;
    bool is_example = false;
    size_t count = 0;
    while (std::getline(lines, line)) {
        if (line.starts_with("```")) is_example = line == "```traceql";
        if (!is_example || line.starts_with("```")) continue;
        CAPTURE(line);
        const auto query = parse(line);
        REQUIRE_MESSAGE(query.has_value(), (query ? "" : query.error().text()));
        Case one;
        one.grid = {kFixtureNs, kFixtureNs + 4'000'000'000};
        one.step_ns = 1'000'000'000;
        ask(*query, one, fixture, stores[0]->segments);
        ++count;
    }
    CHECK(count > 30);
}

TEST_CASE("candidates are read newest first, page after page, until the limit") {
    // 200 traces; every third has a root that lasts longer than its child.
    std::string json = R"({"resourceSpans":[{"scopeSpans":[{"spans":[)";
    for (uint64_t i = 0; i < 200; ++i) {
        const uint64_t start = 1'000'000 + i * 1000;
        json += fmt::format(R"({}{{"traceId":"{:032x}","spanId":"0000000000000001","name":"r",)"
                            R"("startTimeUnixNano":"{}","endTimeUnixNano":"{}"}})",
                            i == 0 ? "" : ",", i + 1, start, start + (i % 3 == 0 ? 500 : 10));
    }
    const auto bytes = otlp::json_to_protobuf(json + "]}]}]}");
    REQUIRE(bytes.has_value());
    const auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    store::SegmentBuilder builder{store::SegmentOptions{}};
    builder.add(*batch);
    const auto image = builder.finish();
    REQUIRE(image.has_value());
    const std::vector<std::shared_ptr<const store::Segment>> segments = {
        *store::Segment::open(*image)};
    const auto query = parse("{ traceDuration > 100ns }");
    REQUIRE(query.has_value());
    SystemClock clock;
    SearchOptions options;
    options.limit = 30;
    std::vector<std::string> ids;
    for (int page = 0; page < 10; ++page) {
        const auto answer = execute(*query, segments, options, clock);
        REQUIRE(answer.has_value());
        for (const store::TraceSummary& one : answer->traces)
            ids.push_back(one.trace_id.hex());
        if (!answer->next) break;
        options.after = answer->next;
    }
    REQUIRE(ids.size() == 67);
    for (size_t i = 0; i < ids.size(); ++i)
        CHECK(ids[i] == fmt::format("{:032x}", 199 - 3 * i));
    options.after = std::nullopt;
    std::stop_source stop;
    stop.request_stop();
    options.cancelled = stop.get_token();
    const auto cancelled = execute(*query, segments, options, clock);
    CHECK((!cancelled || (cancelled->stats.partial && cancelled->traces.empty())));
}

TEST_CASE("a caret points at what is wrong") {
    const std::string text = "{ status = error }\n&& { durations > 1s }";
    const auto query = parse(text);
    REQUIRE(!query);
    CHECK(
        query.error().with_caret(text) ==
        "parse error at line 2, col 6: unknown name durations (did you mean duration? an attribute "
        "is written .durations or span.durations)\n  && { durations > 1s }\n       ^^^^^^^^^");
}

TEST_CASE("texts without end, conditions without number and depth without bottom are refused") {
    CHECK(!parse(std::string(1 << 20, ' ')));
    std::string many = "{ .a = 1";
    for (int i = 0; i < 5'000; ++i)
        many += " || .a = 1";
    const auto too_many = parse(many + " }");
    REQUIRE(!too_many);
    CHECK(too_many.error().message.find("more than 500 operators") != std::string::npos);
    for (const std::string_view opening : {"(", "!", "-"}) {
        std::string deep = "{ ";
        for (int i = 0; i < 10'000; ++i)
            deep += opening;
        const auto refused = parse(deep + ".a");
        REQUIRE(!refused);
        CHECK(refused.error().message.find("nested deeper than 64") != std::string::npos);
    }
    std::string powers = "{ 1";
    for (int i = 0; i < 200; ++i)
        powers += " ^ 1";
    CHECK(!parse(powers + " = .a }"));
    CHECK(!parse(std::string(10'000, '(') + "{ }"));
    std::string big = "{ name =~ \"(((a{1000}){1000}){1000})\" }";
    CHECK(!parse(big));
}

TEST_CASE("as many conditions as are allowed can be evaluated") {
    std::string text = "{ .a = 1";
    for (int i = 0; i < 200; ++i)
        text += " || .a = 1";
    const auto query = parse(text + " }");
    REQUIRE(query.has_value());
    const Fixture fixture = read_fixture("traces.json");
    const auto stores = every_store(fixture);
    CHECK(names_of_messages(*query, fixture, stores[0]->segments).empty());
    CHECK(make_plan(*query).is_exact);
    CHECK(parse(print(*query)).has_value());
}
