#include <filesystem>
#include <fstream>
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
#include "traceql/names.h"
#include "traceql/parser.h"
#include "traceql/planner.h"
#include "traceql/printer.h"
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

Trace fixed_trace() {
    const auto json = read_file(std::filesystem::path(SPANLOOM_TRACEQL_CASES) / "traces.json");
    auto bytes = otlp::json_to_protobuf(json);
    REQUIRE_MESSAGE(bytes.has_value(), (bytes ? "" : bytes.error().message));
    store::StoredTrace stored;
    stored.traces_data = *bytes;
    auto trace = Trace::read(stored);
    REQUIRE(trace.has_value());
    return std::move(*trace);
}

std::string_view comparison_text(store::Comparison comparison) {
    constexpr std::string_view kTexts[] = {"=",  "!=", ">",  ">=", "<",
                                           "<=", "=~", "!~", "~=", "contains"};
    return kTexts[static_cast<size_t>(comparison)];
}

std::string predicate_text(const store::Predicate& predicate) {
    using Kind = store::Predicate::Kind;
    switch (predicate.kind) {
        case Kind::kTrue:
            return "true";
        case Kind::kFalse:
            return "false";
        case Kind::kNot:
            return "!(" + predicate_text(predicate.children[0]) + ")";
        case Kind::kExists:
            return field_text(predicate.field) + " exists";
        case Kind::kAbsent:
            return field_text(predicate.field) + " absent";
        case Kind::kCompare:
            return fmt::format("{} {} {}", field_text(predicate.field),
                               comparison_text(predicate.comparison), print(predicate.value));
        default:
            break;
    }
    std::string out = "(";
    for (size_t i = 0; i < predicate.children.size(); ++i) {
        if (i != 0) out += predicate.kind == Kind::kAnd ? " && " : " || ";
        out += predicate_text(predicate.children[i]);
    }
    return out + ")";
}

std::string unescape_lines(std::string text) {
    size_t at = 0;
    while ((at = text.find("\\n", at)) != std::string::npos)
        text.replace(at, 2, "\n");
    return text;
}

std::string result_text(const Parsed<Query>& query, const Trace& trace, char what) {
    if (what == '!') {
        if (query) return "no error";
        return fmt::format("{}:{} {}", query.error().line, query.error().column,
                           query.error().text());
    }
    if (!query) return query.error().text();
    if (what == '=') return print(*query);
    if (what == '>') {
        const Plan plan = make_plan(*query);
        return (plan.is_exact ? "exact " : "candidates ") + predicate_text(plan.candidates);
    }
    std::string names;
    for (const uint32_t row : Evaluator(*query).matches(trace)) {
        if (!names.empty()) names += ' ';
        names += trace.spans[row].name;
    }
    return names;
}

// "3:5 text" fits where the place is equal and the error says the text.
bool fits(char what, const std::string& got, const std::string& want) {
    if (what != '!') return got == want;
    const size_t blank = want.find(' ');
    return got.starts_with(want.substr(0, blank + 1)) &&
           got.find(want.substr(blank + 1)) != std::string::npos;
}

size_t run_cases(const std::filesystem::path& path, const Trace& trace) {
    std::istringstream lines(read_file(path));
    std::string line;
    std::string text;
    Parsed<Query> query;
    size_t number = 0;
    size_t checks = 0;
    while (std::getline(lines, line)) {
        ++number;
        if (line.empty() || line[0] == '#') continue;
        const char what = line[0];
        const std::string rest = line.size() > 2 ? line.substr(2) : "";
        if (what == '?') {
            text = unescape_lines(rest);
            query = parse(text);
            continue;
        }
        CAPTURE(path.filename().string());
        CAPTURE(number);
        CAPTURE(text);
        const std::string got = result_text(query, trace, what);
        CAPTURE(got);
        CAPTURE(rest);
        CHECK(fits(what, got, rest));
        ++checks;
        if (!query) continue;
        // Printing and parsing again changes nothing.
        const auto again = parse(print(*query));
        CHECK(again.has_value());
        if (again) CHECK(print(*again) == print(*query));
    }
    return checks;
}

}  // namespace

TEST_CASE("every case of the case files comes out as written") {
    const Trace trace = fixed_trace();
    size_t checks = 0;
    for (const auto& entry : std::filesystem::directory_iterator(SPANLOOM_TRACEQL_CASES)) {
        if (entry.path().extension() == ".test") checks += run_cases(entry.path(), trace);
    }
    CHECK(checks > 100);
}

TEST_CASE("columns and whole traces answer alike") {
    const auto json = read_file(std::filesystem::path(SPANLOOM_TRACEQL_CASES) / "traces.json");
    const auto bytes = otlp::json_to_protobuf(json);
    REQUIRE(bytes.has_value());
    auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    // The trace lies in two segments, as fragments do.
    std::vector<std::shared_ptr<const store::Segment>> segments;
    for (const std::vector<uint32_t>& rows : {std::vector<uint32_t>{0, 3}, {1, 2}}) {
        store::SegmentBuilder builder{store::SegmentOptions{}};
        builder.add(*batch, rows);
        const auto image = builder.finish();
        REQUIRE(image.has_value());
        const auto segment = store::Segment::open(*image);
        REQUIRE(segment.has_value());
        segments.push_back(*segment);
    }
    const Trace trace = fixed_trace();
    SystemClock clock;
    std::istringstream lines(
        read_file(std::filesystem::path(SPANLOOM_TRACEQL_CASES) / "filters.test"));
    std::string line;
    size_t queries = 0;
    while (std::getline(lines, line)) {
        if (!line.starts_with("? ")) continue;
        const std::string text = unescape_lines(line.substr(2));
        const auto query = parse(text);
        if (!query) continue;
        CAPTURE(text);
        SearchOptions options;
        options.spans_per_trace = 100;
        const auto answer = execute(*query, segments, options, clock);
        REQUIRE(answer.has_value());
        std::set<std::string> found;
        for (const store::TraceSummary& one : answer->traces) {
            for (const store::MatchedSpan& span : one.matched_spans)
                found.insert(span.name);
            CHECK(one.matched == one.matched_spans.size());
        }
        std::set<std::string> expected;
        for (const uint32_t row : Evaluator(*query).matches(trace))
            expected.emplace(trace.spans[row].name);
        CHECK(found == expected);
        ++queries;
    }
    CHECK(queries > 80);
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
    CHECK(Evaluator(*query).matches(fixed_trace()).empty());
    CHECK(make_plan(*query).is_exact);
    CHECK(parse(print(*query)).has_value());
}
