#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <simdjson.h>

#include "api/ageing_server.h"
#include "store/store_paths.h"

// TraceQL metrics over hours that aged, of whose spans few stayed: from the counts of all.
namespace spanloom::api {
namespace {

using sampling::test_trace;
using store::kHour;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kSpans = 500;

const char* const kRules = R"({"recent": {"for": "1h"}, "keep": [
    {"name": "errors", "match": "{ status = error }", "rate": 1},
    {"name": "rest", "rate": 0.1}]})";

struct Life : AgeingServer {
    // A whole hour, from which on spans start.
    uint64_t start_ns = f.clock.wall_ns() / kHour * kHour;
    uint64_t traces = 0;

    Life() : AgeingServer(kRules) {}

    // One every 7 s from `from_ns` on, which no step of ours begins with.
    void receive(uint64_t from_ns, uint64_t count = kSpans, const std::string& state = "") {
        std::vector<sampling::TestSpan> spans;
        for (uint64_t i = 0; i < count; ++i) {
            sampling::TestSpan& span = spans.emplace_back();
            span.trace_id = test_trace(++traces);
            span.number = 1;
            span.service = i % 3 == 0 ? "cart" : i % 3 == 1 ? "front" : "db";
            span.name = i % 2 == 0 ? "GET /" : "POST /pay";
            span.start_ns = from_ns + i * 7 * kSecond + 3;
            span.duration_ns = 1'000'003 * (1 + i * i % 977);
            span.is_error = i % 5 == 0;
            span.trace_state = state;
        }
        send(spans);
        REQUIRE(f.store->flush().has_value());
    }

    // Of the hour of the spans; "&step=60", "&exemplars=10".
    Reply ask(const std::string& query, const std::string& more = "&step=60") {
        const std::string path = more.find("step") == std::string::npos
                                     ? "/api/metrics/query?q="
                                     : "/api/metrics/query_range?q=";
        Reply reply =
            server.get(path + in_url(query) + "&start=" + std::to_string(start_ns / kSecond) +
                       "&end=" + std::to_string(start_ns / kSecond + 3600) + more);
        REQUIRE_MESSAGE(reply.status == 200, reply.body);
        return reply;
    }
    // Without what was read for it.
    std::string series(const std::string& query, const std::string& more = "&step=60") {
        const Reply reply = ask(query, more);
        return reply.body.substr(0, reply.body.find(",\"metrics\""));
    }
    std::vector<double> values(const std::string& query, const std::string& more = "&step=60") {
        const Reply reply = ask(query, more);
        std::vector<double> found;
        simdjson::dom::parser parser;
        simdjson::dom::array list;
        REQUIRE(parser.parse(reply.body)["series"].get(list) == simdjson::SUCCESS);
        for (const simdjson::dom::element one : list) {
            double value = 0;
            simdjson::dom::array samples;
            if (one["value"].get(value) == simdjson::SUCCESS) found.push_back(value);
            if (one["samples"].get(samples) != simdjson::SUCCESS) continue;
            for (const simdjson::dom::element sample : samples) {
                REQUIRE(sample["value"].get(value) == simdjson::SUCCESS);
                found.push_back(value);
            }
        }
        return found;
    }
};

bool is_exact(const Reply& reply) {
    return reply.headers.get("x-spanloom-exact") == "true";
}

bool has_note(const Reply& reply, std::string_view part) {
    bool is_there = false;
    for (const auto& [name, value] : reply.headers)
        is_there = is_there || (name == "x-spanloom-note" && value.find(part) != std::string::npos);
    return is_there;
}

const std::vector<std::string> kCounts = {
    "{} | count_over_time()",
    "{} | rate()",
    "{ status = error } | rate() by (resource.service.name)",
    "{ status != error } | count_over_time() by (name, kind)",
    "{ resource.service.name = \"cart\" && name =~ \"GET.*\" } | count_over_time()",
    "{ resource.service.name !~ \"c.*\" || !(kind = server) } | count_over_time() by (name)",
    "{ name != \"GET /\" } | { status = error } | count_over_time() by (span:kind)",
    "{ name != nil } | count_over_time()",
    "{} | histogram_over_time(duration)",
    "{ status = error } | histogram_over_time(span:duration) by (resource.service.name)",
    "{} | count_over_time() by (resource.service.name, name) | topk(2)",
    "{} | count_over_time() by (name) > 3",
    "100 * ({ status = error } | count_over_time() by (name)) / ({} | count_over_time() by (name))",
};

const std::vector<std::string> kDurations = {
    "{} | quantile_over_time(duration, .5, .9, .99)",
    "{ status = error } | quantile_over_time(duration, .5) by (resource.service.name)",
    "{} | min_over_time(duration) by (name)",
    "{} | max_over_time(duration)",
    "{ kind = server } | sum_over_time(duration) by (resource.service.name)",
    "{} | avg_over_time(duration)",
};

}  // namespace

TEST_CASE("series of counts are the same before and after spans went") {
    Life life;
    life.receive(life.start_ns);
    const std::vector<std::string> grids = {"&step=10", "&step=60", "&step=300", "&step=1800", ""};
    std::vector<std::string> before;
    for (const std::string& grid : grids) {
        for (const std::string& query : kCounts) {
            const Reply reply = life.ask(query, grid);
            CHECK(is_exact(reply));
            CHECK(reply.headers.get("x-spanloom-counted") == "0");
            before.push_back(life.series(query, grid));
        }
    }
    life.age();
    REQUIRE(life.f.store->state().spans < kSpans / 2);
    auto was = before.begin();
    for (const std::string& grid : grids) {
        for (const std::string& query : kCounts) {
            CAPTURE(query);
            CAPTURE(grid);
            const Reply reply = life.ask(query, grid);
            CHECK(is_exact(reply));
            CHECK(reply.headers.get("x-spanloom-counted") != "0");
            CHECK(reply.headers.get("x-spanloom-sampled") == "false");
            CHECK(life.series(query, grid) == *was++);
        }
    }
    // Later they are by the minute, then a day is one file by the hour, then a month one.
    struct Later {
        uint64_t hours;
        size_t grid;
        const char* step;
    };
    for (const Later& later :
         {Later{3 * 24, 1, "1m0s"}, {16 * 24, 4, "1h0m"}, {70 * 24, 4, "1h0m"}}) {
        CAPTURE(later.hours);
        life.f.clock.advance(later.hours * kHour);
        REQUIRE(life.f.store->settle().has_value());
        for (size_t i = 0; i < kCounts.size(); ++i) {
            CAPTURE(kCounts[i]);
            CHECK(life.series(kCounts[i], grids[later.grid]) ==
                  before[later.grid * kCounts.size() + i]);
        }
        const Reply finer = life.ask("{} | rate()", "&step=30");
        CHECK_FALSE(is_exact(finer));
        CHECK(has_note(finer, std::string("they are by ") + later.step));
    }
    CHECK(has_note(life.ask("{} | max_over_time(duration)", ""), "in quarters of powers of two"));
}

TEST_CASE("durations of spans that went are within what the counts know") {
    Life life;
    life.receive(life.start_ns);
    std::vector<std::vector<double>> before;
    for (const std::string& query : kDurations)
        before.push_back(life.values(query));
    life.age();
    for (size_t at = 0; at < kDurations.size(); ++at) {
        CAPTURE(kDurations[at]);
        const Reply reply = life.ask(kDurations[at]);
        CHECK(is_exact(reply));
        CHECK(has_note(reply, "within 3.2 %"));
        const std::vector<double> after = life.values(kDurations[at]);
        REQUIRE(after.size() == before[at].size());
        for (size_t i = 0; i < after.size(); ++i)
            CHECK(after[i] == doctest::Approx(before[at][i]).epsilon(0.04));
    }
}

TEST_CASE("what is counted and what is still there are one answer") {
    Life life;
    life.receive(life.start_ns);
    life.age();
    // Late ones, of the same hour.
    life.receive(life.start_ns, 100);
    CHECK(life.values("{} | count_over_time()", "") == std::vector<double>{kSpans + 100});
    const Reply reply = life.ask("{ status = error } | count_over_time()", "");
    CHECK(reply.has("\"value\":" + std::to_string(kSpans / 5 + 20)));
    CHECK(reply.headers.get("x-spanloom-counted") == std::to_string(kSpans / 5));
    life.age();
    CHECK(life.values("{} | count_over_time()", "") == std::vector<double>{kSpans + 100});
}

TEST_CASE(
    "what counts do not know is estimated from the spans that stayed, and the reply says so") {
    Life life;
    life.receive(life.start_ns);
    life.age();
    struct Case {
        const char* query;
        const char* grid;
        const char* note;
    };
    for (const Case& one : std::vector<Case>{
             {"{} | count_over_time() with(counts=false)", "&step=60", ""},
             {"{} | count_over_time()", "&step=5", "they are by 10s: ask for steps"},
             {"{ span.x = nil } | count_over_time()", "&step=60", ""},
             {"{} | count_over_time() by (span.x)", "&step=60", ""},
             {"{ status = ok } | count_over_time()", "&step=60", ""},
             {"{} | count_over_time() by (status)", "&step=60", ""},
             {"{} | sum_over_time(span.x)", "&step=60", ""},
             {"{ parent.resource.service.name = \"a\" || true } | rate()", "&step=60", ""},
             {"{} >> {} || {} | rate()", "&step=60", ""},
             {"({} | rate()) / ({ span.x = nil } | rate())", "&step=60", ""},
             {"{} | compare({ status = error })", "&step=60", ""},
         }) {
        CAPTURE(one.query);
        const Reply reply = life.ask(one.query, one.grid);
        CHECK_FALSE(is_exact(reply));
        CHECK(reply.headers.get("x-spanloom-counted") == "0");
        CHECK(has_note(reply, "estimated from those that stayed") == (*one.note != '\0'));
        if (*one.note != '\0') CHECK(has_note(reply, one.note));
    }
    const std::vector<double> all =
        life.values("{} | count_over_time() with(counts=false, weighted=false)", "");
    REQUIRE(all.size() == 1);
    CHECK(all[0] == static_cast<double>(life.f.store->state().spans));
    // Why is in the plan.
    const std::string range = "&start=" + std::to_string(life.start_ns / kSecond) +
                              "&end=" + std::to_string(life.start_ns / kSecond + 3600);
    CHECK(life.server.get("/api/explain?q=" + in_url("{ status = ok } | rate()") + range)
              .has("they do not tell the status ok from unset"));
    CHECK(life.server.get("/api/explain?q=" + in_url("{} | rate()") + range)
              .has("add 500 spans of hours that aged from 1 files of counts"));
    const Reply wrong =
        life.server.get("/api/metrics/query?q=" + in_url("{} | rate() with(counts=2)"));
    CHECK(wrong.status == 400);
    CHECK(wrong.has("counts is true or false"));
    // An edge of the range within a step: some of its counts.
    const Reply ragged =
        life.server.get("/api/metrics/query?q=" + in_url("{} | count_over_time()") +
                        "&start=" + std::to_string(life.start_ns / kSecond + 5) +
                        "&end=" + std::to_string(life.start_ns / kSecond + 3600));
    CHECK_FALSE(is_exact(ragged));
    CHECK(has_note(ragged, "spread evenly"));
    CHECK(ragged.has("\"value\":499}"));
}

TEST_CASE("files of counts are read only for what they can answer") {
    Life life;
    life.receive(life.start_ns);
    std::atomic<size_t> read = 0;
    life.f.io.set_fault([&](IoCall, const std::string& path) -> std::optional<Error> {
        read += path.starts_with(store::kCounts.area) ? 1 : 0;
        return {};
    });
    // Nothing aged.
    life.ask("{} | rate()");
    CHECK(read == 0);
    life.age();
    read = 0;
    for (const char* query : {"{ span.x = 1 } | rate()", "{} | compare({ status = error })",
                              "{} | rate() with(counts=false)", "{} >> {} | rate()"}) {
        CAPTURE(query);
        const Reply reply = life.ask(query);
        CHECK(!is_exact(reply));
        CHECK(read == 0);
    }
    CHECK(is_exact(life.ask("{} | rate()")));
    CHECK(read > 0);
    life.f.io.set_fault({});
}

TEST_CASE("counts of spans that senders sampled are weighted, or not") {
    Life life;
    life.receive(life.start_ns, kSpans, "ot=th:8");
    life.age();
    const Reply weighted = life.ask("{} | count_over_time()", "");
    CHECK(weighted.has("\"value\":1000"));
    CHECK(weighted.headers.get("x-spanloom-sampled") == "true");
    const Reply raw = life.ask("{} | count_over_time() with(weighted=false)", "");
    CHECK(raw.has("\"value\":500"));
    CHECK(raw.headers.get("x-spanloom-weighted") == "false");
    CHECK(life.values("{} | sum_over_time(duration)", "")[0] ==
          doctest::Approx(2 *
                          life.values("{} | sum_over_time(duration) with(weighted=false)", "")[0]));
}

TEST_CASE("exemplars of hours that aged are of spans that stayed") {
    Life life;
    life.receive(life.start_ns);
    life.age();
    const Reply reply = life.ask("{ status = error } | rate() by (name) with(exemplars=10)");
    CHECK(is_exact(reply));
    const std::string mark = "\"trace:id\",\"value\":{\"stringValue\":\"";
    const size_t at = reply.body.find(mark);
    REQUIRE(at != std::string::npos);
    const std::string id = reply.body.substr(at + mark.size(), 32);
    CHECK(life.server.get("/tempo/api/traces/" + id).status == 200);
}

}  // namespace spanloom::api
