#include <doctest/doctest.h>

#include "api/test_server.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

// 1 in 4: threshold 0xc0000000000000.
constexpr std::string_view kSampledTrace = R"({"resourceSpans":[
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"quarter"}}]},
  "scopeSpans":[{"spans":[
   {"traceId":"00000000000000000000000000000123","spanId":"0000000000000001","name":"GET /",
    "kind":2,"traceState":"ot=th:c",
    "startTimeUnixNano":"1763819500000000000","endTimeUnixNano":"1763819500001000000"}]}]}]})";

}  // namespace

TEST_CASE("settings in force are told, secrets are not") {
    TestServer server({kShopTrace});
    ApiOptions options{.store = server.store,
                       .queries = server.inline_executor,
                       .metrics = server.metrics,
                       .clock = server.clock};
    options.settings = {{"retention.for", "72h", "how long", false},
                        {"auth.token", "\"hunter2\"", "the key", false},
                        {"other.password", "\"\"", "none", true}};
    options.disk_space = [] { return Result<DiskSpace>(DiskSpace{1000, 400}); };
    server.handler = make_api(std::move(options));
    const Reply reply = server.get("/api/ui/v1/settings");
    CHECK(reply.status == 200);
    CHECK(
        reply.has(R"({"key":"retention.for","value":"72h","text":"how long","is_default":false})"));
    CHECK(reply.has(R"x("key":"auth.token","value":"(hidden)")x"));
    CHECK(!reply.has("hunter2"));
    CHECK(reply.has(R"("key":"other.password","value":"\"\"")"));
    CHECK(reply.has(R"("spans":"2")"));
    CHECK(reply.has(R"("disk":{"total_bytes":"1000","free_bytes":"400"})"));
}

TEST_CASE("what spans stand for is told by service") {
    TestServer server({kShopTrace, kSampledTrace});
    const Reply reply = server.get("/api/ui/v1/sampling");
    CHECK(reply.status == 200);
    CHECK(reply.has(R"({"name":"quarter","spans":1,"weighted":4})"));
    CHECK(reply.has(R"({"name":"front","spans":1,"weighted":1})"));
    CHECK(server.get("/api/ui/v1/sampling?from=2&to=1").status == 400);
}

TEST_CASE("text is found in attributes, events, resources and scopes of a trace") {
    TestServer server({kShopTrace});
    const auto rows = [&](const std::string& text) {
        const Reply reply =
            server.get("/api/ui/v1/trace/00000000000000000000000000000abc/find?q=" + text);
        REQUIRE(reply.status == 200);
        return reply.body.substr(0, reply.body.find(",\"found\""));
    };
    CHECK(rows("4815") == R"({"rows":[0,1])");     // an attribute's text
    CHECK(rows("USER.ID") == R"({"rows":[0,1])");  // its key, whatever the case
    CHECK(rows("500") == R"({"rows":[0,1])");      // a number
    CHECK(rows("because") == R"({"rows":[0,1])");  // of an event
    CHECK(rows("web-1") == R"({"rows":[0,1])");    // of the resource
    CHECK(rows("sql") == R"({"rows":[1,2])");      // the scope
    CHECK(rows("service.name") == R"({"rows":[0,2])");
    CHECK(rows("nowhere") == R"({"rows":[])");
    CHECK(server.get("/api/ui/v1/trace/00000000000000000000000000000abc/find").status == 400);
    CHECK(server.get("/api/ui/v1/trace/0000000000000000000000000000fade/find?q=a").status == 404);
}

TEST_CASE("the usual of a trace's operations is counted over the day that ends with it") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply reply = server.get("/api/ui/v1/trace/00000000000000000000000000000abc/baseline");
    CHECK(reply.status == 200);
    CHECK(reply.has(R"({"service":"front","name":"GET /","kind":"server","count":1,"errors":1,)"));
    CHECK(reply.has(R"({"service":"db","name":"SELECT","kind":"client","count":1,"errors":0,)"));
    CHECK(!reply.has("GET /later"));  // no operation of this trace
    const Reply none = server.get(
        "/api/ui/v1/trace/00000000000000000000000000000abc/baseline?from=0&to=60000000000");
    CHECK(none.has(R"("operations":[])"));
}

TEST_CASE("documents are listed with their bodies, changed last first") {
    TestServer server({});
    const TestServer::Fields fresh = {{"content-type", "application/json"}, {"if-none-match", "*"}};
    CHECK(server.ask("PUT", "/api/documents/pins/aa", fresh, R"({"n":1})").status == 200);
    CHECK(server.get("/api/documents/pins").has(R"({"documents":[{"name":"aa","version":1,)"));
    CHECK(!server.get("/api/documents/pins").has("body"));
    CHECK(server.get("/api/documents/pins?bodies=true").has(R"("body":{"n":1}})"));
}
