#include <doctest/doctest.h>
#include <simdjson.h>

#include "api/test_server.h"
#include "insight/edge_counts.h"
#include "sampling/keeper.h"
#include "sampling/test_traces.h"
#include "store/engine_fixture.h"

// Rules, previews, decisions and pins as pages and programs ask for them.
namespace spanloom::api {
namespace {

using sampling::test_trace;
using store::kHour;

const char* const kHalf = R"({"recent": {"for": "1h"}, "keep": [
    {"name": "errors", "match": "{ status = error }"}, {"name": "half", "rate": 0.5}]})";

// The time of the fixture, and a monotonic one that runs, which deadlines in the store follow.
class RunningClock final : public Clock {
  public:
    explicit RunningClock(const Clock& wall) : wall_(wall) {}
    uint64_t wall_ns() const override { return wall_.wall_ns(); }
    uint64_t monotonic_ns() const override { return SystemClock().monotonic_ns(); }

  private:
    const Clock& wall_;
};

struct KeepServer {
    store::StoreFixture f;
    RunningClock clock{f.clock};
    SeededRandom random{3};
    std::shared_ptr<sampling::Keeper> keeper;
    TestServer server{{}};

    KeepServer() {
        f.options.rollup = make_operation_rollup();
        f.options.counting = insight::make_span_counting();
        f.open();
        keeper = *sampling::Keeper::start(*f.store, f.clock, random, f.metrics, std::nullopt);
        ApiOptions options{.store = *f.store,
                           .queries = server.inline_executor,
                           .metrics = server.metrics,
                           .clock = clock};
        options.keeper = keeper.get();
        options.disk_space = [] { return DiskSpace{1'000'000'000, 500'000'000}; };
        server.handler = make_api(std::move(options));
    }
    void send(uint64_t first, uint64_t count) {
        std::vector<sampling::TestSpan> spans;
        for (uint64_t trace = first; trace < first + count; ++trace) {
            spans.emplace_back();
            spans.back().trace_id = test_trace(trace);
            spans.back().number = 1;
            spans.back().start_ns = f.clock.wall_ns();
            spans.back().is_error = trace % 10 == 0;
        }
        REQUIRE(f.send(sampling::batch_of(spans, f.clock.wall_ns())).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    Reply change(const std::string& method, const std::string& target, std::string_view body,
                 const std::string& version) {
        TestServer::Fields fields = {{"content-type", "application/json"}};
        if (version == "new") fields.emplace_back("if-none-match", "*");
        if (version != "new" && !version.empty())
            fields.emplace_back("if-match", "\"" + version + "\"");
        return server.ask(method, target, fields, body);
    }
};

// What stands at a pointer, as JSON.
std::string at(const Reply& reply, std::string_view pointer) {
    simdjson::dom::parser parser;
    simdjson::dom::element found;
    if (parser.parse(reply.body).at_pointer(pointer).get(found) != simdjson::SUCCESS)
        return "nothing at " + std::string(pointer) + " of " + reply.body;
    return simdjson::minify(found);
}

}  // namespace

TEST_CASE("rules are read, replaced by who knows their version, and given up again") {
    KeepServer k;
    Reply rules = k.server.get("/api/keep/rules");
    REQUIRE(rules.status == 200);
    CHECK(rules.headers.get("etag") == "\"0\"");
    CHECK(at(rules, "/source") == "\"default\"");
    CHECK(at(rules, "/changed") == "null");
    CHECK(at(rules, "/rules/keep/0/name") == "\"errors\"");
    CHECK(k.change("PUT", "/api/keep/rules", kHalf, "").status == 400);
    CHECK(k.change("PUT", "/api/keep/rules", kHalf, "7").status == 412);
    const Reply wrong = k.change("PUT", "/api/keep/rules",
                                 R"({"keep": [{"name": "a", "match": "{ .x = }"}]})", "new");
    CHECK(wrong.status == 400);
    CHECK(wrong.has("keep[0] (a): match: parse error at line 1, col 8"));
    const Reply changed = k.change("PUT", "/api/keep/rules", kHalf, "new");
    REQUIRE(changed.status == 200);
    CHECK(at(changed, "/source") == "\"api\"");
    CHECK(at(changed, "/version") == "1");
    CHECK(at(changed, "/rules/recent/for") == "\"1h\"");
    CHECK(changed.headers.get("etag") == "\"1\"");
    CHECK(k.change("PUT", "/api/keep/rules", kHalf, "new").status == 412);
    CHECK(at(k.server.get("/api/keep/rules"), "/rules/keep/1/rate") == "0.5");
    const Reply passed_on = k.server.ask("PUT", "/api/keep/rules",
                                         {{"content-type", "application/json"},
                                          {"x-forwarded-for", "10.0.0.1"},
                                          {"if-match", "\"1\""}},
                                         kHalf);
    CHECK(passed_on.status == 403);
    CHECK(k.change("DELETE", "/api/keep/rules", "", "4").status == 412);
    const Reply reset = k.change("DELETE", "/api/keep/rules", "", "1");
    CHECK(at(reset, "/source") == "\"default\"");
    // Not behind its back.
    CHECK(k.change("PUT", "/api/documents/keep_rules/rules", "{}", "new").status == 403);
    CHECK(k.change("PUT", "/api/documents/pinned_traces/x", "{}", "new").status == 403);
}

TEST_CASE("a preview, what came of it, and why, agree") {
    KeepServer k;
    k.send(0, 200);
    const Reply preview = k.server.post(
        "/api/keep/preview",
        std::string("{\"searches\": [\"{ status = error }\"], \"rules\":") + kHalf + "}",
        {{"content-type", "application/json"}});
    REQUIRE(preview.status == 200);
    CHECK(at(preview, "/total/traces") == "200");
    CHECK(at(preview, "/by_rule/0/rule") == "\"errors\"");
    CHECK(at(preview, "/by_rule/0/kept/traces") == "20");
    CHECK(at(preview, "/by_rule/1/traces") == "180");
    CHECK(at(preview, "/by_rule/2/rule") == "null");
    CHECK(at(preview, "/by_service/0/service") == "\"shop\"");
    CHECK(at(preview, "/by_search/0/search") == "\"{ status = error }\"");
    CHECK(at(preview, "/by_search/0/kept/traces") == "20");
    CHECK(k.server.post("/api/keep/preview", R"({"searches": ["{ .a = }"]})").status == 400);
    CHECK(at(preview, "/days").find("nothing") == std::string::npos);
    CHECK(at(preview, "/days") != "null");
    CHECK(k.server.post("/api/keep/preview", R"({"rules": {"keep": 1}})").status == 400);
    REQUIRE(k.server.post("/api/keep/preview", "{}").status == 200);

    REQUIRE(k.change("PUT", "/api/keep/rules", kHalf, "new").status == 200);
    CHECK(at(k.server.get("/api/keep/why/" + test_trace(1).hex()), "/state") == "\"recent\"");
    k.f.clock.advance(3 * kHour);
    REQUIRE(k.f.store->settle().has_value());
    uint64_t kept = 0;
    for (uint64_t trace = 0; trace < 200; ++trace) {
        const Reply why = k.server.get("/api/keep/why/" + test_trace(trace).hex());
        REQUIRE(why.status == 200);
        const bool is_kept = at(why, "/state") == "\"kept\"";
        kept += is_kept;
        CHECK(at(why, "/stored_spans") == (is_kept ? "1" : "0"));
        CHECK(at(why, "/decisions/0/rule") == (trace % 10 == 0 ? "\"errors\"" : "\"half\""));
        CHECK(at(why, "/decisions/0/one_in") == (trace % 10 == 0 ? "1" : "2"));
        CHECK(at(why, "/decisions/0/threshold") ==
              (trace % 10 == 0 ? "\"00000000000000\"" : "\"80000000000000\""));
        CHECK(at(why, "/decisions/0/rules_version") == "1");
    }
    CHECK(std::to_string(kept) == at(preview, "/total/kept/traces"));
    CHECK(at(k.server.get("/api/keep/why/" + test_trace(999).hex()), "/state") == "\"unknown\"");
    CHECK(k.server.get("/api/keep/why/zz").status == 400);
    // Counts of what stays say that they are weighted: 20 errors, and twice the others.
    const auto count = [&](const char* hints) {
        return k.server.get("/api/metrics/query?q=%7B%7D%7Ccount_over_time()" + std::string(hints) +
                            "&start=1&end=" + std::to_string(k.f.clock.wall_ns() / 1'000'000'000));
    };
    const Reply series = count("with(counts=false)");
    CHECK_MESSAGE(series.headers.get("x-spanloom-weighted") == "true", series.body);
    CHECK(series.headers.get("x-spanloom-sampled") == "true");
    CHECK(series.headers.get("x-spanloom-exact") == "false");
    CHECK(series.has(std::to_string(20 + 2 * (kept - 20))));
    const Reply exact = count("");
    CHECK(exact.headers.get("x-spanloom-exact") == "true");
    CHECK(exact.has("\"value\":200"));
}

TEST_CASE("a forged threshold counts as a million at most, and is told") {
    KeepServer k;
    const auto count = [&](const char* hints) {
        return k.server.get(
            "/api/metrics/query?q=%7B%7D%7Ccount_over_time()" + std::string(hints) +
            "&start=1&end=" + std::to_string(k.f.clock.wall_ns() / 1'000'000'000 + 60));
    };
    k.send(0, 5);
    Reply reply = count("");
    CHECK(reply.headers.get("x-spanloom-note").empty());
    sampling::TestSpan forged;
    forged.trace_id = test_trace(77);
    forged.number = 1;
    forged.start_ns = k.f.clock.wall_ns();
    forged.trace_state = "ot=th:ffffffffffffff";
    REQUIRE(k.f.send(sampling::batch_of({forged}, k.f.clock.wall_ns())).has_value());
    REQUIRE(k.f.store->flush().has_value());
    reply = count("");
    CHECK(reply.has("1000005"));
    CHECK(reply.headers.get("x-spanloom-note").find("stand for 1000000 or more") !=
          std::string::npos);
    reply = count("with(weighted=false)");
    CHECK(reply.has(":6"));
    CHECK(reply.headers.get("x-spanloom-note").empty());
    // compare() weighs and tells the same, by columns alone, with parents and of whole traces.
    for (const std::string choosing : {"{}", "{} || {} >> {}", "{} | count() > 0"}) {
        CAPTURE(choosing);
        const auto compare = [&](const std::string& hints) {
            std::string target = "/api/metrics/query?q=";
            append_percent_encoded(target, choosing + " | compare({ duration > 0s }) " + hints);
            return k.server.get(target + "&start=1&end=" +
                                std::to_string(k.f.clock.wall_ns() / 1'000'000'000 + 60));
        };
        reply = compare("");
        CHECK_MESSAGE(reply.has("\"value\":1000005"), reply.body);
        CHECK(reply.headers.get("x-spanloom-partial").empty());
        CHECK(reply.headers.get("x-spanloom-sampled") == "true");
        CHECK(reply.headers.get("x-spanloom-note").find("stand for 1000000 or more") !=
              std::string::npos);
        reply = compare("with(weighted=false)");
        CHECK(reply.has("\"value\":6"));
        CHECK(!reply.has("1000005"));
        CHECK(reply.headers.get("x-spanloom-note").empty());
    }
}

TEST_CASE("rates and errors of services count all there ever was, whatever the rules kept") {
    KeepServer k;
    const uint64_t from = k.f.clock.wall_ns();
    k.send(0, 200);
    const auto services = [&] {
        const Reply reply =
            k.server.get("/api/ui/v1/services?from=" + std::to_string(from - kHour) +
                         "&to=" + std::to_string(from + kHour));
        return at(reply, "/services/0/total/count") + at(reply, "/services/0/errors") +
               at(reply, "/services/0/p95_ns");
    };
    const std::string dependencies =
        "/api/dependencies?endTs=" + std::to_string((from + kHour) / 1'000'000) +
        "&lookback=7200000";
    const std::string before = services();
    REQUIRE_MESSAGE(before.starts_with("200["), before);
    const std::string edges = k.server.get(dependencies).body;
    const std::string series =
        "/api/v1/query?query=sum(increase(traces_spanmetrics_calls_total[2h]"
        "))&time=" +
        std::to_string((from + kHour) / 1'000'000'000);
    const std::string calls = k.server.get(series).body;
    CHECK(calls.find("\"200\"") != std::string::npos);
    REQUIRE(k.change("PUT", "/api/keep/rules", kHalf, "new").status == 200);
    k.f.clock.advance(3 * kHour);
    REQUIRE(k.f.store->settle().has_value());
    REQUIRE(k.f.store->state().spans < 150);
    CHECK(services() == before);
    CHECK(k.server.get(dependencies).body == edges);
    CHECK(k.server.get(series).body == calls);
    // Pinned and released traces count once.
    const std::string id = test_trace(10).hex();
    REQUIRE(k.change("PUT", "/api/keep/pins/" + id, "{}", "").status == 200);
    CHECK(services() == before);
    REQUIRE(k.change("DELETE", "/api/keep/pins/" + id, "", "").status == 200);
    CHECK(services() == before);
}

TEST_CASE("a trace that Jaeger's clients archive is pinned") {
    KeepServer k;
    k.send(0, 3);
    const std::string id = test_trace(1).hex();
    const Reply archived = k.server.post("/api/archive/" + id, "");
    CHECK(archived.status == 200);
    CHECK(at(archived, "/data") == "[]");
    CHECK(k.server.post("/api/archive/" + test_trace(9).hex(), "").status == 404);
    CHECK(
        k.server.ask("POST", "/api/archive/" + id, {{"sec-fetch-site", "cross-site"}}, "").status ==
        403);
    CHECK(k.server.ask("POST", "/api/archive/" + id, {{"forwarded", "for=10.0.0.1"}}, "").status ==
          403);
    const Reply pins = k.server.get("/api/keep/pins");
    CHECK(at(pins, "/pins/0/trace_id") == "\"" + id + "\"");
    CHECK(at(pins, "/pins/0/by") == "\"Jaeger\"");
    CHECK(at(pins, "/pins/0/reason") == "\"archived\"");
}

TEST_CASE("traces are pinned, listed and released") {
    KeepServer k;
    k.send(0, 3);
    const std::string id = test_trace(1).hex();
    CHECK(k.change("PUT", "/api/keep/pins/" + test_trace(9).hex(), "{}", "").status == 404);
    REQUIRE(k.change("PUT", "/api/keep/pins/" + id, R"({"by": "ada", "reason": "outage"})", "")
                .status == 200);
    const Reply pins = k.server.get("/api/keep/pins");
    CHECK(at(pins, "/pins/0/trace_id") == "\"" + id + "\"");
    CHECK(at(pins, "/pins/0/by") == "\"ada\"");
    CHECK(at(k.server.get("/api/keep/why/" + id), "/pinned") == "true");
    REQUIRE(k.change("DELETE", "/api/keep/pins/" + id, "", "").status == 200);
    CHECK(at(k.server.get("/api/keep/pins"), "/pins") == "[]");
    CHECK(k.change("DELETE", "/api/keep/pins/" + id, "", "").status == 404);
    // A server without rules says so.
    TestServer bare{{}};
    CHECK(bare.get("/api/keep/rules").has("this server has no keep rules"));
}

}  // namespace spanloom::api
