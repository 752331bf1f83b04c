#include "store/search.h"

#include <algorithm>
#include <thread>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "otlp/json.h"
#include "store/search_test_model.h"
#include "store/segment_test_spans.h"
#include "store/values.h"

using namespace spanloom;
using namespace spanloom::store;

namespace {

SearchRequest request_for(Predicate where, uint32_t limit = 20) {
    SearchRequest request;
    request.where = std::move(where);
    request.limit = limit;
    return request;
}

Predicate service_is(std::string name) {
    return Predicate::compare({Scope::kResource, Intrinsic::kNone, "service.name"},
                              Comparison::kEqual, Value::of_string(std::move(name)));
}
Predicate is_error() {
    return Predicate::compare({Scope::kIntrinsic, Intrinsic::kStatus, {}}, Comparison::kEqual,
                              Value::of_status(otlp::StatusCode::kError));
}
Predicate lasts_longer_than(int64_t ns) {
    return Predicate::compare({Scope::kIntrinsic, Intrinsic::kDuration, {}}, Comparison::kGreater,
                              Value::of_duration(ns));
}
Predicate user_is(std::string id) {
    return Predicate::compare({Scope::kSpan, Intrinsic::kNone, "user.id"}, Comparison::kEqual,
                              Value::of_string(std::move(id)));
}

std::vector<std::string> lines(const SearchAnswer& answer) {
    std::vector<std::string> out;
    for (const TraceSummary& trace : answer.traces)
        out.push_back(shown(trace));
    return out;
}

}  // namespace

TEST_CASE("a search answers as a plain model of all spans does") {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        SeededRandom random(seed);
        ModelStore model(random, 1 + random.below(5), 60 + random.below(200));
        const std::vector<Predicate> conditions = {
            Predicate::everything(),
            service_is("cart"),
            is_error(),
            lasts_longer_than(500),
            user_is("u7"),
            Predicate::all_of({service_is("cart"), is_error()}),
            Predicate::any_of({user_is("u1"), lasts_longer_than(900)}),
            Predicate::negation(service_is("cart")),
            user_is("nobody"),
        };
        for (size_t i = 0; i < conditions.size(); ++i) {
            CAPTURE(i);
            for (const uint32_t limit : {1U, 7U, 1000U}) {
                SearchRequest request = request_for(conditions[i], limit);
                if (random.below(2) == 0) request.range = model.some_range(random);
                const auto answer = search(model.segments(), request);
                REQUIRE(answer.has_value());
                CHECK_FALSE(answer->stats.partial);
                const auto expected = model.search(request);
                CHECK(lines(*answer) == expected.lines);
                CHECK(answer->next.has_value() == expected.has_more);
            }
        }
    }
}

TEST_CASE("pages follow each other without gap or repetition, and stay the same") {
    for (uint64_t seed = 20; seed < 24; ++seed) {
        SeededRandom random(seed);
        ModelStore model(random, 4, 150);
        SearchRequest request = request_for(is_error(), 1000);
        const auto whole = search(model.segments(), request);
        REQUIRE(whole.has_value());
        std::vector<std::string> paged;
        request.limit = 3;
        for (size_t pages = 0; pages < 200; ++pages) {
            const auto page = search(model.segments(), request);
            REQUIRE(page.has_value());
            const auto again = search(model.segments(), request);
            CHECK(lines(*page) == lines(*again));
            for (auto& line : lines(*page))
                paged.push_back(line);
            if (!page->next) break;
            request.after = page->next;
        }
        CHECK(paged == lines(*whole));
    }
}

TEST_CASE("a search for the newest does not read old segments") {
    SeededRandom random(3);
    ModelStore model(random, 0, 0);
    for (uint64_t i = 0; i < 6; ++i)
        model.add_segment(random, 50, i * 1'000'000'000);
    const auto answer = search(model.segments(), request_for(Predicate::everything(), 5));
    REQUIRE(answer.has_value());
    CHECK(answer->traces.size() == 5);
    CHECK(answer->stats.segments == 6);
    CHECK(answer->stats.segments_skipped >= 4);
}

TEST_CASE("a search for a value that no segment has reads no column") {
    SeededRandom random(4);
    ModelStore model(random, 4, 100);
    const auto answer = search(model.segments(), request_for(user_is("absent-from-all")));
    REQUIRE(answer.has_value());
    CHECK(answer->traces.empty());
    CHECK(answer->stats.scanned_spans == 0);
    CHECK(answer->stats.segments_skipped == 4);
}

TEST_CASE("a search that is out of time says so") {
    SeededRandom random(5);
    ModelStore model(random, 3, 100);
    SearchRequest request = request_for(Predicate::everything());
    request.deadline_monotonic_ns = 1;
    const auto late = search(model.segments(), request);
    REQUIRE(late.has_value());
    CHECK(late->stats.partial);
    CHECK(late->stats.reason == "the search took too long; narrow the range or the conditions");
    request.deadline_monotonic_ns = 0;
    std::stop_source source;
    source.request_stop();
    request.cancelled = source.get_token();
    const auto cancelled = search(model.segments(), request);
    REQUIRE(cancelled.has_value());
    CHECK(cancelled->stats.partial);
    CHECK(cancelled->traces.empty());
}

TEST_CASE("wanted values come with each matched span") {
    ModelStore model;
    model.add({{.trace = 1,
                .span = 1,
                .start = 100,
                .duration = 50,
                .service = "cart",
                .name = "pay",
                .user = "u1"}});
    SearchRequest request = request_for(Predicate::everything());
    request.wanted = {{Scope::kAny, Intrinsic::kNone, "service.name"},
                      {Scope::kSpan, Intrinsic::kNone, "user.id"},
                      {Scope::kIntrinsic, Intrinsic::kDuration, {}},
                      {Scope::kSpan, Intrinsic::kNone, "absent"}};
    const auto answer = search(model.segments(), request);
    REQUIRE(answer.has_value());
    REQUIRE(answer->traces.size() == 1);
    REQUIRE(answer->traces[0].matched_spans.size() == 1);
    const auto& values = answer->traces[0].matched_spans[0].values;
    REQUIRE(values.size() == 3);
    CHECK(values[0].second == Value::of_string("cart"));
    CHECK(values[1].second == Value::of_string("u1"));
    CHECK(values[2].second == Value::of_duration(50));
}

TEST_CASE("a resend in another segment counts once, another span with the same id counts too") {
    const ModelSpan span{.trace = 1,
                         .span = 1,
                         .start = 100,
                         .duration = 50,
                         .service = "cart",
                         .name = "pay",
                         .user = "u1"};
    ModelSpan other = span;
    other.user = "u2";
    ModelStore model;
    model.add({span});
    model.add({span});
    model.add({other});
    const auto answer = search(model.segments(), request_for(Predicate::everything()));
    REQUIRE(answer.has_value());
    REQUIRE(answer->traces.size() == 1);
    CHECK(answer->traces[0].spans == 2);
    CHECK(answer->traces[0].matched == 2);
    const auto trace = read_trace(model.segments(), test_trace_id(1));
    REQUIRE(trace.has_value());
    CHECK(trace->spans == 2);
}

TEST_CASE("a trace is found in a range that a long span covers, but not in a gap between spans") {
    ModelStore model;
    model.add({{.trace = 1, .span = 1, .start = 100, .duration = 1000, .service = "a"},
               {.trace = 2, .span = 2, .start = 100, .duration = 10, .service = "a"},
               {.trace = 2, .span = 3, .start = 900, .duration = 10, .service = "a"}});
    SearchRequest request = request_for(Predicate::everything());
    request.range = {500, 600};
    const auto answer = search(model.segments(), request);
    REQUIRE(answer.has_value());
    REQUIRE(answer->traces.size() == 1);
    CHECK(answer->traces[0].trace_id == test_trace_id(1));
}

TEST_CASE("traces come back as they were received, from any number of segments") {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        OddRequests requests(seed);
        std::vector<std::shared_ptr<const Segment>> segments;
        std::map<TraceId, std::vector<std::string>> expected;
        for (int i = 0; i < 3; ++i) {
            SegmentBuilder builder({.row_group_rows = 64, .zstd_level = 1, .rollup = {}});
            const Batch batch = requests.next(150);
            builder.add(batch);
            const auto shown = shown_spans(batch);
            for (size_t s = 0; s < batch.spans.size(); ++s) {
                expected[batch.spans[s].trace_id].push_back(shown[s]);
            }
            auto image = builder.finish();
            REQUIRE(image.has_value());
            auto segment = Segment::open(std::move(*image));
            REQUIRE(segment.has_value());
            segments.push_back(std::move(*segment));
        }
        // Once more, all of it: nothing changes.
        segments.push_back(segments.front());
        for (auto& [id, spans] : expected) {
            const auto trace = read_trace(segments, id);
            REQUIRE(trace.has_value());
            REQUIRE(trace->reason == "");
            const auto batch = otlp::decode(trace->traces_data);
            REQUIRE(batch.has_value());
            CHECK(batch->spans_rejected == 0);
            auto got = shown_spans(*batch);
            std::sort(got.begin(), got.end());
            std::sort(spans.begin(), spans.end());
            spans.erase(std::unique(spans.begin(), spans.end()), spans.end());
            CHECK(got == spans);
        }
    }
}

TEST_CASE("a trace that is not here is not found") {
    SeededRandom random(1);
    ModelStore model(random, 2, 30);
    const auto trace = read_trace(model.segments(), test_trace_id(999'999));
    REQUIRE_FALSE(trace.has_value());
    CHECK(trace.error().code == ErrorCode::kNotFound);
}

TEST_CASE("keys and values of a field are listed, sorted") {
    ModelStore model;
    model.add({{.trace = 1, .span = 1, .start = 100, .service = "cart", .name = "b", .user = "u2"},
               {.trace = 1, .span = 2, .parent = 1, .start = 110, .service = "db", .name = "a"}});
    model.add(
        {{.trace = 2, .span = 3, .start = 900, .service = "cart", .name = "c", .user = "u1"}});
    const auto keys = attribute_keys(model.segments(), {});
    REQUIRE(keys.has_value());
    bool has_user = false;
    bool has_service = false;
    for (const KeyCount& key : *keys) {
        has_user |= key.scope == Scope::kSpan && key.key == "user.id";
        has_service |= key.scope == Scope::kResource && key.key == "service.name";
    }
    CHECK(has_user);
    CHECK(has_service);
    const auto texts = [&](Field field, Predicate where, TimeRange range, uint32_t limit) {
        const auto values = field_values(model.segments(), field, range, where, limit);
        REQUIRE(values.has_value());
        std::string out;
        for (const Value& value : *values)
            out += value_text(value) + " ";
        return out;
    };
    const Field name{Scope::kIntrinsic, Intrinsic::kName, {}};
    const Field root{Scope::kIntrinsic, Intrinsic::kRootName, {}};
    const Field service{Scope::kResource, Intrinsic::kNone, "service.name"};
    const Field user{Scope::kSpan, Intrinsic::kNone, "user.id"};
    CHECK(texts(name, {}, {}, 10) == "a b c ");
    CHECK(texts(name, {}, {}, 2) == "a b ");
    CHECK(texts(name, {}, {0, 500}, 10) == "a b ");
    CHECK(texts(name, service_is("cart"), {}, 10) == "b c ");
    CHECK(texts(root, {}, {}, 10) == "b c ");
    CHECK(texts(service, {}, {}, 10) == "cart db ");
    CHECK(texts(service, {}, {800, 1000}, 10) == "cart ");
    CHECK(texts(user, {}, {}, 10) == "u1 u2 ");
    CHECK(texts({Scope::kIntrinsic, Intrinsic::kStatus, {}}, {}, {}, 10) == "unset ");
}

TEST_CASE("values of an attribute are listed whatever their types are") {
    std::string spans;
    int number = 0;
    for (const char* attributes :
         {R"({"key":"x","value":{"intValue":"1"}})", R"({"key":"x","value":{"boolValue":true}})",
          R"({"key":"x","value":{"stringValue":"b"}})",
          R"({"key":"x","value":{"doubleValue":0.5}})",
          R"({"key":"x","value":{"stringValue":"a"}},{"key":"x","value":{"stringValue":"c"}})",
          R"({"key":"x","value":{"intValue":"7"}},{"key":"x","value":{"stringValue":"d"}})",
          R"({"key":"x","value":{"intValue":"1"}})", R"({"key":"y","value":{"intValue":"3"}})"}) {
        ++number;
        spans += fmt::format(
            R"({}{{"traceId":"{:032x}","spanId":"{:016x}","startTimeUnixNano":"{}",)"
            R"("endTimeUnixNano":"{}","attributes":[{}]}})",
            number > 1 ? "," : "", number, number, 100 + number, 200 + number, attributes);
    }
    const auto bytes =
        otlp::json_to_protobuf(R"({"resourceSpans":[{"scopeSpans":[{"spans":[)" + spans + "]}]}]}");
    REQUIRE(bytes.has_value());
    const auto batch = otlp::decode(*bytes);
    REQUIRE(batch.has_value());
    for (const uint32_t rows : {1U, 3U, 100U}) {
        CAPTURE(rows);
        SegmentBuilder builder({.row_group_rows = rows, .zstd_level = 1, .rollup = {}});
        builder.add(*batch);
        auto image = builder.finish();
        REQUIRE(image.has_value());
        auto segment = Segment::open(std::move(*image));
        REQUIRE(segment.has_value());
        const auto values = field_values({&*segment, 1}, {Scope::kSpan, Intrinsic::kNone, "x"}, {},
                                         Predicate::everything(), 100);
        REQUIRE(values.has_value());
        std::string out;
        for (const Value& value : *values)
            out += value_text(value) + " ";
        CHECK(out == "true 0.5 1 b c d ");
    }
}

TEST_CASE("edges come trace by trace, each span once") {
    const ModelSpan root{.trace = 1, .span = 1, .start = 100, .service = "front"};
    const ModelSpan child{.trace = 1, .span = 2, .parent = 1, .start = 120, .service = "back"};
    ModelStore model;
    model.add({root, {.trace = 2, .span = 5, .start = 5000, .service = "front"}});
    model.add({child, root});
    std::vector<std::string> seen;
    const auto done = for_each_edge(model.segments(), {0, 1000}, [&](const SpanEdge& edge) {
        seen.push_back(edge.span_id.hex() + " " + std::string(edge.service));
        return true;
    });
    REQUIRE(done.has_value());
    std::sort(seen.begin(), seen.end());
    const std::vector<std::string> expected = {test_span_id(1).hex() + " front",
                                               test_span_id(2).hex() + " back"};
    CHECK(seen == expected);
}

TEST_CASE("many threads may search at once") {
    SeededRandom random(8);
    ModelStore model(random, 3, 120);
    const auto expected = search(model.segments(), request_for(is_error()));
    REQUIRE(expected.has_value());
    std::vector<std::thread> threads;
    std::vector<std::vector<std::string>> found(4);
    for (size_t i = 0; i < found.size(); ++i) {
        threads.emplace_back([&, i] {
            const auto answer = search(model.segments(), request_for(is_error()));
            if (answer) found[i] = lines(*answer);
        });
    }
    for (auto& thread : threads)
        thread.join();
    for (const auto& answer : found)
        CHECK(answer == lines(*expected));
}
