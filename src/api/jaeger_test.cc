#include <doctest/doctest.h>

#include "api/test_server.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {
constexpr const char* kTrace = "/api/traces/abc";
}

TEST_CASE("every kind of value has its form in a v1 trace") {
    TestServer server({kShopTrace});
    const Reply reply = server.get(kTrace);
    CHECK(reply.status == 200);
    CHECK(reply.headers.get("content-type") == "application/json");
    for (const std::string_view part :
         {R"("traceID":"00000000000000000000000000000abc")",
          R"("operationName":"GET /")",
          R"("startTime":1763819000000000,"duration":2000000)",
          R"({"key":"text","type":"string","value":"x\"y"})",
          R"({"key":"yes","type":"bool","value":true})",
          R"({"key":"count","type":"int64","value":500})",
          R"({"key":"huge","type":"int64","value":"9223372036854775807"})",
          R"({"key":"ratio","type":"float64","value":0.5})",
          R"({"key":"raw","type":"binary","value":"AQID"})",
          R"({"key":"list","type":"string","value":"[1,\"b\"]"})",
          R"({"key":"map","type":"string","value":"{\"k\":false}"})",
          R"({"key":"otel.scope.name","type":"string","value":"lib"})",
          R"({"key":"otel.scope.version","type":"string","value":"1.0"})",
          R"({"key":"span.kind","type":"string","value":"server"})",
          R"({"key":"error","type":"bool","value":true})",
          R"({"key":"otel.status_code","type":"string","value":"ERROR"})",
          R"({"key":"otel.status_description","type":"string","value":"broke"})",
          R"({"key":"w3c.tracestate","type":"string","value":"a=b"})",
          R"("logs":[{"timestamp":1763819001000000,"fields":[{"key":"event",)"
          R"("type":"string","value":"boom"},{"key":"why","type":"string",)"
          R"("value":"because"}]}])",
          R"({"refType":"FOLLOWS_FROM",)"
          R"("traceID":"0000000000000000000000000000dead",)"
          R"("spanID":"00000000000000aa"})",
          R"({"refType":"CHILD_OF","traceID":"00000000000000000000000000000abc",)"
          R"("spanID":"0000000000000001"})",
          R"("serviceName":"front","tags":[{"key":"host.name","type":"string","value":"web-1"}])",
          R"("serviceName":"db","tags":[])",
          R"("total":1,"limit":0,"offset":0,"errors":null)"}) {
        CAPTURE(part);
        CHECK(reply.has(part));
    }
}

TEST_CASE("a trace id may be short, upper case or base64; bad ones are 400, unknown ones 404") {
    TestServer server({kShopTrace});
    CHECK(server.get("/api/traces/ABC").status == 200);
    CHECK(server.get("/api/traces/00000000000000000000000000000ABC").status == 200);
    CHECK(server.get("/api/traces/AAAAAAAAAAAAAAAAAAAKvA==").status == 200);
    for (const char* bad :
         {"/api/traces/not-a-trace-id", "/api/traces/0",
          "/api/traces/000000000000000000000000000000abc1", "/api/traces/..%2f..%2fetc"}) {
        CAPTURE(bad);
        const Reply reply = server.get(bad);
        CHECK(reply.status == 400);
        CHECK(reply.has(R"("data":null)"));
        CHECK(reply.has(R"("code":400,"msg":"malformed trace id)"));
    }
    const Reply unknown = server.get("/api/traces/fff");
    CHECK(unknown.status == 404);
    CHECK(unknown.has("trace not found"));
}

TEST_CASE("services and operations are listed") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(server.get("/api/services").has(R"("data":["db","front"],"total":2)"));
    CHECK(server.get("/api/services/front/operations")
              .has(R"("data":["GET /","GET /later"],"total":2)"));
    CHECK(server.get("/jaeger/api/services/%66ront/operations").has(R"("GET /later")"));
    CHECK(server.get("/api/services/%2566ront/operations").has(R"("GET /later")"));
    CHECK(
        server.get("/api/operations?service=db").has(R"([{"name":"SELECT","spanKind":"client"}])"));
    CHECK(server.get("/api/operations?service=db&spanKind=server").has(R"("data":[])"));
    const Reply missing = server.get("/api/operations");
    CHECK(missing.status == 400);
    CHECK(missing.has("parameter 'service' is required"));
    TestServer empty({});
    CHECK(empty.get("/api/services").has(R"("data":[],"total":0)"));
}

TEST_CASE("search combines its conditions on one span") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto found = [&](std::string query) {
        const Reply reply = server.get("/api/traces?" + query);
        CAPTURE(query);
        CHECK(reply.status == 200);
        std::string ids;
        if (reply.has(R"("traceID":"00000000000000000000000000000abc","spans")")) ids += "shop";
        if (reply.has(R"("traceID":"00000000000000000000000000000def","spans")")) ids += "later";
        return ids;
    };
    CHECK(found("service=front") == "shoplater");
    CHECK(found("service=front&limit=1") == "later");
    CHECK(found("service=db") == "shop");
    CHECK(found("service=nobody").empty());
    CHECK(found("service=front&operation=GET%20/") == "shop");
    CHECK(found("service=front&operation=SELECT").empty());
    CHECK(found("service=front&minDuration=1s") == "shop");
    CHECK(found("service=front&maxDuration=1500ms") == "later");
    CHECK(found("service=front&minDuration=1ms&maxDuration=1m30s") == "shoplater");
    CHECK(found("service=front&start=1763819400000000") == "later");
    CHECK(found("service=front&end=1763819400000000") == "shop");
    CHECK(found("service=front&start=1&end=2").empty());
    for (const char* tags :
         {R"({"user.id":"4815"})", R"({"count":"500"})", R"({"yes":"true"})",
          R"({"count":500,"yes":true})", R"({"error":"true"})", R"({"host.name":"web-1"})",
          R"({"why":"because"})", R"({"span.kind":"server","count":"500"})",
          R"({"otel.status_code":"ERROR"})", R"({"otel.scope.name":"lib"})",
          R"({"w3c.tracestate":"a=b"})", R"({"event":"boom"})", R"({"ratio":"0.5"})"})
        CHECK(found("service=front&tags=" + std::string(tags)) == "shop");
    CHECK(found("service=front&tag=user.id:4815&tag=count:500") == "shop");
    CHECK(found(R"(service=front&tags={"user.id":"4815","rows":"3"})").empty());
    CHECK(found(R"(service=front&tags={"user.id":"nobody"})").empty());
    CHECK(found("traceID=abc&traceID=def") == "shoplater");
    const Reply miss = server.get("/api/traces?traceID=abc&traceID=fff");
    CHECK(miss.has(
        R"("errors":[{"msg":"trace not found","traceID":"00000000000000000000000000000fff"}])"));
}

TEST_CASE("malformed questions are refused with what is wrong") {
    TestServer server({kShopTrace});
    struct Case {
        const char* target;
        const char* text;
    };
    for (const Case& bad :
         {Case{"/api/traces?limit=5", "parameter 'service' is required"},
          Case{"/api/traces?service=x&limit=abc", "'limit'"},
          Case{"/api/traces?service=x&limit=-1", "'limit'"},
          Case{"/api/traces?service=x&limit=2147483648", "'limit'"},
          Case{"/api/traces?service=x&tags=%7Bbroken", "'tags'"},
          Case{"/api/traces?service=x&tags=[1]", "'tags'"},
          Case{R"(/api/traces?service=x&tags={"a":{}})", "'tags'"},
          Case{"/api/traces?service=x&tag=novalue", "key:value"},
          Case{"/api/traces?service=x&minDuration=soon", "'minDuration'"},
          Case{"/api/traces?service=x&minDuration=-1s", "negative"},
          Case{"/api/traces?service=x&minDuration=2s&maxDuration=1s", "'maxDuration'"},
          Case{"/api/traces?service=x&start=yesterday", "'start'"},
          Case{"/api/traces?service=x&raw=maybe", "'raw'"},
          Case{"/api/traces?traceID=xyz", "malformed trace id"},
          Case{"/api/operations?service=x&spanKind=queen", "'spanKind'"}}) {
        CAPTURE(bad.target);
        const Reply reply = server.get(bad.target);
        CAPTURE(reply.body);
        CHECK(reply.status == 400);
        CHECK(reply.has(bad.text));
        CHECK(reply.has(R"("errors":[{"code":400)"));
    }
}

TEST_CASE("prettyPrint breaks lines and changes nothing else") {
    TestServer server({kShopTrace});
    const Reply reply = server.get("/api/services?prettyPrint=true");
    CHECK(reply.body ==
          "{\n    \"data\": [\n        \"db\",\n        \"front\"\n    ],\n    \"total\": 2,\n    "
          "\"limit\": "
          "0,\n    \"offset\": 0,\n    \"errors\": null\n}");
    CHECK(server.get("/api/services?prettyPrint=false").has(R"({"data":["db")"));
}

TEST_CASE("an uploaded OTLP file comes back as Jaeger's traces") {
    TestServer server({});
    const Reply reply = server.post("/api/transform", kShopTrace);
    CHECK(reply.status == 200);
    CHECK(reply.has(R"("serviceName":"db")"));
    CHECK(server.post("/api/transform", "{broken").status == 400);
}

TEST_CASE("without keep rules there is no archive, and unknown traces are unknown there too") {
    TestServer server({kShopTrace});
    CHECK(server.post("/api/archive/abc", "").status == 501);
    CHECK(server.post("/api/archive/abc", "").has("kept by the retention rules"));
    CHECK(server.post("/api/archive/fff", "").status == 404);
    CHECK(server.post("/api/archive/xyz", "").status == 400);
}

TEST_CASE("v3 takes its question as a body, too") {
    TestServer server({kShopTrace, kLaterTrace});
    const std::string_view body =
        R"({"query":{"serviceName":"front","attributes":{"user.id":"4815"},)"
        R"("startTimeMin":"2025-11-22T00:00:00Z","startTimeMax":"2025-11-23T00:00:00Z",)"
        R"("searchDepth":5}})";
    const Reply traces = server.post("/api/v3/traces", body);
    CHECK(traces.status == 200);
    CHECK(traces.has("0abc"));
    CHECK(!traces.has("0def"));
    CHECK(server.post("/api/v3/trace-summaries", body).has(R"("spanCount":2)"));
    CHECK(server.post("/api/v3/traces", "[]").status == 400);
}

TEST_CASE("v3 lists, reads and searches with either spelling") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(server.get("/api/v3/services").body == R"({"services":["db","front"]})");
    CHECK(server.get("/api/v3/operations?service=db").body ==
          R"({"operations":[{"name":"SELECT","spanKind":"client"}]})");
    const Reply trace = server.get("/api/v3/traces/abc");
    CHECK(trace.has(R"({"result":{"resourceSpans":[)"));
    CHECK(trace.has(R"("spanId":"0000000000000002")"));
    CHECK(trace.has(R"("kind":2)"));
    CHECK(server.get("/api/v3/traces/fff").status == 404);
    CHECK(server.get("/api/v3/traces/fff").has(R"({"error":{"httpCode":404,"message":)"));
    const std::string range =
        "query.startTimeMin=2025-11-22T00:00:00Z&query.startTimeMax=2025-11-23T00:00:00.5Z";
    const Reply all = server.get("/api/v3/traces?query.serviceName=front&" + range);
    CHECK(all.status == 200);
    CHECK(all.has("00000000000000000000000000000abc"));
    CHECK(all.has("00000000000000000000000000000def"));
    CHECK(all.has("]}}"));
    const Reply one = server.get(
        "/api/v3/traces?query.service_name=front&query.num_traces=1&query.start_time_min="
        "2025-11-22T01:00:00+01:00&query.start_time_max=2025-11-23T00:00:00Z");
    CHECK(one.status == 200);
    CHECK(!one.has("00000000000000000000000000000abc"));
    const Reply none = server.get("/api/v3/traces?query.serviceName=nobody&" + range);
    CHECK(none.status == 404);
    CHECK(none.has("No traces found"));
    const Reply summary = server.get("/api/v3/trace-summaries?query.serviceName=db&" + range);
    CHECK(summary.has(R"("rootServiceName":"front","rootOperationName":"GET /")"));
    CHECK(summary.has(R"("spanCount":2,"errorSpanCount":1)"));
    CHECK(server.get("/api/v3/trace-summaries?query.serviceName=nobody&" + range).body ==
          R"({"summaries":[]})");
    const std::vector<std::string> malformed = {
        "query.serviceName=a",
        "query.startTimeMin=now&query.startTimeMax=then",
        range + "&query.attributes=[",
        range + "&query.durationMin=soon",
        range + "&query.searchDepth=x",
        range + "&query.filter={}",
        "query.startTimeMin=2025-11-23T00:00:00Z&query.startTimeMax=2025-11-22T00:00:00Z"};
    for (const std::string& bad : malformed) {
        CAPTURE(bad);
        const Reply reply = server.get("/api/v3/traces?" + bad);
        CHECK(reply.status == 400);
        CHECK(reply.has(R"("httpCode":400)"));
    }
}

TEST_CASE("structured filters of Jaeger's v3 search") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto ask = [&](std::string_view filter, std::string_view more = "") {
        std::string target =
            "/api/v3/trace-summaries?query.startTimeMin=2025-11-22T00:00:00Z&"
            "query.startTimeMax=2025-11-23T00:00:00Z&query.filter=";
        append_percent_encoded(target, filter);
        return server.get(target + std::string(more));
    };
    const auto found = [&](std::string_view filter) {
        const Reply reply = ask(filter);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        return std::string(reply.has("0abc") ? "shop " : "") + (reply.has("0def") ? "later " : "");
    };
    const std::vector<std::pair<std::string, std::string>> cases = {
        {R"({"op":"eq","args":[{"attr":{"key":"rows","level":"span"}},{"scalar":{"value":"3"}}]})",
         "shop "},
        {R"({"op":"eq","args":[{"attr":{"key":"rows"}},{"scalar":{"value":"3","type":"string"}}]})",
         ""},
        {R"({"op":"lt","args":[{"scalar":{"value":"2"}},{"attr":{"key":"rows"}}]})", "shop "},
        {R"({"op":"eq","args":[{"field":{"name":"service","level":"resource"}},)"
         R"({"scalar":{"value":"front"}}]})",
         "shop later "},
        {R"({"op":"gte","args":[{"field":{"name":"duration","level":"span"}},)"
         R"({"scalar":{"value":"1.5s"}}]})",
         "shop "},
        {R"({"op":"eq","args":[{"field":{"name":"status","level":"span"}},)"
         R"({"scalar":{"value":"ERROR"}}]})",
         "shop "},
        {R"({"op":"ne","args":[{"attr":{"key":"text"}},{"scalar":{"value":"other"}}]})", "shop "},
        {R"({"op":"not","args":[{"call":{"op":"exists","args":[{"attr":{"key":"host.name"}}]}}]})",
         "shop later "},
        {R"({"op":"in","args":[{"field":{"name":"name","level":"span"}},)"
         R"({"list":{"values":["GET /later","none"]}}]})",
         "later "},
        {R"({"op":"regex","args":[{"field":{"name":"name","level":"span"}},)"
         R"({"scalar":{"value":"LEC"}}]})",
         "shop "},
        {R"({"op":"and","args":[{"call":{"op":"eq","args":[{"attr":{"key":"why","level":"event"}},)"
         R"({"scalar":{"value":"because"}}]}},{"call":{"op":"eq","args":[)"
         R"({"field":{"name":"kind","level":"span"}},{"scalar":{"value":"server"}}]}}]})",
         "shop "},
        {R"({"op":"some","args":[{"nested":{"level":"event"}},{"call":{"op":"and","args":[)"
         R"({"call":{"op":"eq","args":[{"field":{"name":"name","level":"event"}},)"
         R"({"scalar":{"value":"boom"}}]}},{"call":{"op":"eq","args":[)"
         R"({"attr":{"key":"why","level":"event"}},{"scalar":{"value":"no"}}]}}]}}]})",
         ""},
    };
    for (const auto& [filter, traces] : cases) {
        CAPTURE(filter);
        CHECK(found(filter) == traces);
    }
    for (const std::string_view bad :
         {"[", "{}", R"({"op":"eq","args":[]})",
          R"({"op":"near","args":[{"attr":{"key":"a"}},)"
          R"({"scalar":{"value":"1"}}]})",
          R"({"op":"eq","args":[{"attr":{"key":"a"}},{"attr":{"key":"b"}}]})",
          R"({"op":"eq","args":[{"field":{"name":"nothing","level":"span"}},)"
          R"({"scalar":{"value":"1"}}]})",
          R"({"op":"gt","args":[{"field":{"name":"kind","level":"span"}},)"
          R"({"scalar":{"value":"server"}}]})",
          R"({"op":"regex","args":[{"attr":{"key":"a"}},{"scalar":{"value":"("}}]})"}) {
        CAPTURE(bad);
        CHECK(ask(bad).status == 400);
    }
    CHECK(ask(cases[0].first, "&query.serviceName=front").status == 400);
    std::string deep = "{}";
    for (int i = 0; i < 200; ++i)
        deep = R"({"op":"not","args":[{"call":)" + deep + "}]}";
    CHECK(ask(deep).status == 400);
}

TEST_CASE("dependencies are the calls between services") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply reply = server.get("/api/dependencies?endTs=1763820000000&lookback=86400000");
    CHECK(reply.has(R"("data":[{"parent":"front","child":"db","callCount":1}],"total":1)"));
    CHECK(server.get("/api/dependencies").has(R"("callCount":1)"));
    CHECK(server.get("/api/dependencies?service=nobody").has(R"("data":[])"));
    CHECK(server.get("/api/dependencies?endTs=1763820000000&lookback=1000").has(R"("data":[])"));
    CHECK(server.get("/api/dependencies?endTs=soon").status == 400);
    CHECK(server.get("/api/v3/dependencies").body ==
          R"({"dependencies":[{"parent":"front","child":"db","callCount":"1"}]})");
    CHECK(server.get("/api/v3/dependencies?startTime=soon").status == 400);
}
