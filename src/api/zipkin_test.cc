#include <doctest/doctest.h>

#include "api/test_server.h"

using namespace spanloom;
using namespace spanloom::api;

TEST_CASE("Zipkin's lists are lower case and sorted") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(server.get("/api/v2/services").body == R"(["db","front"])");
    CHECK(server.get("/zipkin/api/v2/services").body == R"(["db","front"])");
    CHECK(server.get("/api/v2/spans?serviceName=FRONT").body == R"(["get /","get /later"])");
    CHECK(server.get("/api/v2/spans?serviceName=none").body == "[]");
    CHECK(server.get("/api/v2/remoteServices?serviceName=front").body == "[]");
    CHECK(server.get("/api/v2/autocompleteKeys").has(R"("user.id")"));
    CHECK(server.get("/api/v2/autocompleteValues?key=user.id").body == R"(["4815"])");
    CHECK(server.get("/zipkin/health").has(R"({"status":"UP")"));
    CHECK(server.get("/zipkin/config.json").has(R"("searchEnabled":true)"));
}

TEST_CASE("a trace as Zipkin shows it: microseconds, text, events as annotations") {
    TestServer server({kShopTrace});
    const Reply reply = server.get("/api/v2/trace/0000000000000abc");
    CHECK(reply.status == 200);
    for (const std::string_view part :
         {R"("traceId":"0000000000000abc","id":"0000000000000001","kind":"SERVER",)"
          R"("name":"get /","timestamp":1763819000000000,"duration":2000000,)"
          R"("localEndpoint":{"serviceName":"front"})",
          R"("annotations":[{"timestamp":1763819001000000,)"
          R"("value":"\"boom\": {\"why\":\"because\"}"}])",
          R"("tags":{"error":"broke")", R"("count":"500")", R"("huge":"9223372036854775807")",
          R"("yes":"true")", R"("ratio":"0.5")", R"("host.name":"web-1")",
          R"("otel.scope.name":"lib")", R"("w3c.tracestate":"a=b")",
          R"("parentId":"0000000000000001","id":"0000000000000002","kind":"CLIENT")"}) {
        CAPTURE(part);
        CAPTURE(reply.body);
        CHECK(reply.has(part));
    }
    const Reply unknown = server.get("/api/v2/trace/fff");
    CHECK(unknown.status == 404);
    CHECK(unknown.body == "fff not found");
    CHECK(server.get("/api/v2/trace/xyz").status == 400);
}

TEST_CASE("Zipkin's search") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto found = [&](std::string query) {
        const Reply reply = server.get("/api/v2/traces?endTs=1763820000000&" + query);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        return std::string(reply.has("\"0000000000000abc\"") ? "shop" : "") +
               (reply.has("\"0000000000000def\"") ? "later" : "");
    };
    CHECK(found("") == "shoplater");
    CHECK(found("limit=1") == "later");
    CHECK(found("serviceName=Front") == "shoplater");
    CHECK(found("serviceName=db") == "shop");
    CHECK(found("serviceName=nobody").empty());
    CHECK(found("serviceName=front&spanName=get%20/later") == "later");
    CHECK(found("serviceName=front&spanName=all") == "shoplater");
    CHECK(found("annotationQuery=user.id%3D4815%20and%20error") == "shop");
    CHECK(found("annotationQuery=boom") == "shop");
    CHECK(found("annotationQuery=count%3D500") == "shop");
    CHECK(found("annotationQuery=error%3Dbroke") == "shop");
    CHECK(found("annotationQuery=nothing").empty());
    CHECK(found("minDuration=1500000") == "shop");
    CHECK(found("minDuration=500&maxDuration=1500") == "later");
    CHECK(found("lookback=1").empty());
    CHECK(server.get("/api/v2/traces?maxDuration=5").status == 400);
    CHECK(server.get("/api/v2/traces?limit=x").status == 400);
}

TEST_CASE("Zipkin's traceMany and dependencies") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply both = server.get("/api/v2/traceMany?traceIds=abc,def,fff");
    CHECK(both.status == 200);
    CHECK(both.has("0abc"));
    CHECK(both.has("0def"));
    for (const char* bad : {"", "?traceIds=abc", "?traceIds=abc,abc", "?traceIds=abc,xyz"})
        CHECK(server.get(std::string("/api/v2/traceMany") + bad).status == 400);
    CHECK(server.get("/api/v2/dependencies?endTs=1763820000000").body ==
          R"([{"parent":"front","child":"db","callCount":1}])");
    CHECK(server.get("/api/v2/dependencies").status == 400);
}

TEST_CASE("Zipkin's port answers Zipkin's addresses alone") {
    TestServer server({kShopTrace}, Face::kZipkin);
    CHECK(server.get("/api/v2/services").status == 200);
    CHECK(server.get("/health").status == 200);
    CHECK(server.get("/api/services").status == 404);
}
