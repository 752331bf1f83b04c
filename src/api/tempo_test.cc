#include <doctest/doctest.h>

#include "api/test_server.h"

using namespace spanloom;
using namespace spanloom::api;

TEST_CASE("Tempo's traces by id are OTLP with base64 ids and names, or protobuf") {
    TestServer server({kShopTrace});
    const Reply json = server.get("/api/v2/traces/abc");
    CHECK(json.status == 200);
    CHECK(json.has(R"({"trace":{"resourceSpans":[)"));
    CHECK(json.has(R"("kind":"SPAN_KIND_SERVER")"));
    CHECK(json.has(R"("spanId":"AAAAAAAAAAE=")"));
    const Reply unknown = server.get("/api/v2/traces/fff");
    CHECK(unknown.status == 200);
    CHECK(unknown.body == R"({"trace":{},"metrics":{}})");
    CHECK(server.get("/api/v2/traces/xyz").status == 400);
    const Reply protobuf = server.get("/api/v2/traces/abc", {{"accept", "application/protobuf"}});
    CHECK(protobuf.headers.get("content-type") == "application/protobuf");
    CHECK(protobuf.body.substr(0, 1) == "\x0a");
    // The bare address is Jaeger's; protobuf and the prefix make it Tempo's.
    const Reply v1 = server.get("/tempo/api/traces/abc");
    CHECK(v1.has(R"({"batches":[)"));
    const Reply raw = server.get("/api/traces/abc", {{"accept", "application/protobuf"}});
    CHECK(raw.headers.get("content-type") == "application/protobuf");
    const auto batch = otlp::decode(Blob::copy_of(raw.body));
    REQUIRE(batch.has_value());
    CHECK(batch->spans.size() == 2);
    CHECK(server.get("/tempo/api/traces/fff").status == 404);
}

TEST_CASE("a trace by id with a filter is the spans that it chooses, and what is around them") {
    // 1 > 2 > 3 > 4, and 5 beside 2.
    std::string spans;
    for (int i = 1; i <= 5; ++i)
        spans += fmt::format(
            R"({}{{"traceId":"00000000000000000000000000000ace","spanId":"000000000000000{}",)"
            R"("parentSpanId":"{}","name":"n{}","startTimeUnixNano":"176381900000000000{}",)"
            R"("endTimeUnixNano":"1763819000000000009"}})",
            i == 1 ? "" : ",", i,
            i == 1   ? std::string()
            : i == 5 ? std::string("0000000000000001")
                     : fmt::format("000000000000000{}", i - 1),
            i, i);
    TestServer server({R"({"resourceSpans":[{"scopeSpans":[{"spans":[)" + spans + "]}]}]}"});
    const auto names = [&](std::string_view query, const std::string& more) {
        std::string target = "/api/v2/traces/ace?q=";
        append_percent_encoded(target, query);
        const Reply reply = server.get(target + more);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        std::string found;
        for (int i = 1; i <= 5; ++i)
            if (reply.has(fmt::format("\"name\":\"n{}\"", i))) found += std::to_string(i);
        CHECK(reply.has("\"status\":\"PARTIAL\"") == (found != "12345"));
        return found;
    };
    CHECK(names("", "") == "12345");
    CHECK(names("{ }", "") == "12345");
    CHECK(names("{ name = \"n3\" }", "") == "3");
    CHECK(names("{ name = \"n3\" }", "&ancestor_depth=1") == "3");
    CHECK(names("{ name = \"n3\" }", "&keep_hierarchy=true") == "123");
    CHECK(names("{ name = \"n3\" }", "&keep_hierarchy=true&ancestor_depth=1") == "23");
    CHECK(names("{ name = \"n3\" }", "&keep_hierarchy=true&ancestor_depth=0") == "3");
    CHECK(names("{ name = \"n2\" }", "&match_depth=1") == "23");
    CHECK(names("{ name = \"n2\" }", "&match_depth=-1") == "234");
    CHECK(names("{ name =~ \"n[13]\" }", "&match_depth=1") == "12345");
    CHECK(names("{ name =~ \"n[25]\" }", "&match_depth=1&keep_hierarchy=true") == "1235");
    CHECK(names("{ name = \"none\" }", "&match_depth=-1&keep_hierarchy=true") == "");
    for (const std::string_view bad :
         {"{ name = ", "{ } | count() > 1", "{ } > { }", "{ } | rate()", "{ trace:duration > 1s }",
          "{ rootName = \"n1\" }", "{ parent.a = 1 }", "{ nestedSetParent < 0 }"}) {
        CAPTURE(bad);
        std::string target = "/api/v2/traces/ace?q=";
        append_percent_encoded(target, bad);
        CHECK(server.get(target).status == 400);
    }
    CHECK(server.get("/api/v2/traces/ace?q=%7B%7D&match_depth=-2").status == 400);
    CHECK(server.get("/api/v2/traces/ace?q=%7B%7D&ancestor_depth=-2").status == 200);
    CHECK(server.get("/api/v2/traces/ace?q=%7B%7D&keep_hierarchy=1&ancestor_depth=-2").status ==
          400);
    // As a message, too.
    const Reply raw = server.get("/api/v2/traces/ace?q=%7B%20name%20%3D%20%22n3%22%20%7D",
                                 {{"accept", "application/protobuf"}});
    CHECK(raw.body.find("n3") != std::string::npos);
    CHECK(raw.body.find("n4") == std::string::npos);
    CHECK(raw.body.find("only the spans that q asks for") != std::string::npos);
    const Reply digest =
        server.get("/api/v2/traces/ace", {{"accept", "application/vnd.grafana.llm"}});
    CHECK(digest.headers.get("content-type") == "application/vnd.grafana.llm");
    CHECK(digest.has(R"({"traceId":"00000000000000000000000000000ace","summary":")"));
}

TEST_CASE("Tempo's search, tags and values are messages where clients accept these") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto message = [&](const char* target) {
        const Reply reply =
            server.get(target, {{"accept", "application/protobuf, application/json"}});
        CHECK(reply.status == 200);
        CHECK(reply.headers.get("content-type") == "application/protobuf");
        return reply.body;
    };
    // As over gRPC (grpc_test.cc says what is in them).
    const auto streamed = [&](const char* method, std::string_view request) {
        const auto reply = server.call(std::string("tempopb.StreamingQuerier/") + method, request);
        std::string all;
        for (const std::string& one : reply.messages)
            all += one;
        return all;
    };
    CHECK(message("/api/search?q=%7B%7D") == streamed("Search", "\x42\x02{}"));
    CHECK(message("/api/search/tags") == streamed("SearchTags", ""));
    CHECK(message("/api/v2/search/tags") == streamed("SearchTagsV2", ""));
    CHECK(message("/api/search/tag/service.name/values") ==
          streamed("SearchTagValues", "\x0a\x0cservice.name"));
    CHECK(message("/api/v2/search/tag/name/values") ==
          streamed("SearchTagValuesV2", "\x0a\x04name"));
    const Reply simple =
        server.get("/api/v2/search/tag/.rows/values", {{"accept", "application/vnd.grafana.llm"}});
    CHECK(simple.body == R"({"int":["3"]})");
}

TEST_CASE("the metrics of an answer say how large all segments of its range are") {
    TestServer server({kShopTrace, kLaterTrace});
    const uint64_t first = server.store.segments[0]->info().bytes;
    const uint64_t both = first + server.store.segments[1]->info().bytes;
    REQUIRE(first > 0);
    const auto check = [&](const std::string& target, uint64_t bytes) {
        const Reply reply = server.get(target);
        CAPTURE(target);
        CAPTURE(reply.body);
        CHECK(reply.status == 200);
        CHECK(reply.has(fmt::format(R"("totalBlockBytes":"{}")", bytes)));
    };
    const std::string around_first = "start=1763818980&end=1763819100";
    check("/api/search?q=%7B%7D", both);
    check("/api/search?q=%7B%7D&" + around_first, first);
    // Nothing has to be found or read.
    check("/api/search?q=%7B.nothing%3D1%7D&" + around_first, first);
    check("/api/search?tags=nothing%3D1", both);
    check("/api/search?tags=nothing%3D1&" + around_first, first);
    check("/api/search?q=%7B%7D&start=1000&end=2000", 0);
    const std::string rate = "?q=%7B%7D%7Crate()&";
    check("/api/metrics/query_range" + rate + around_first + "&step=10", first);
    check("/api/metrics/query_range" + rate + "start=1763818980&end=1763819700", both);
    check("/api/metrics/query" + rate + around_first, first);
}

TEST_CASE("Tempo's port serves Tempo's addresses alone") {
    TestServer server({kShopTrace}, Face::kTempo);
    CHECK(server.get("/api/traces/abc").has(R"({"batches":[)"));
    CHECK(server.get("/api/echo").body == "echo");
    CHECK(server.get("/ready").status == 200);
    CHECK(server.get("/api/status/buildinfo").has(R"("version":"2.9.0")"));
    CHECK(server.get("/api/services").status == 404);
    CHECK(server.get("/").status == 200);
}

TEST_CASE("TraceQL search answers spans with what the query touched") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply reply =
        server.get("/api/search?q=%7B%20.count%20%3E%20100%20%26%26%20status%20%3D%20error%20%7D");
    CHECK(reply.status == 200);
    for (const std::string_view part :
         {R"("traceID":"00000000000000000000000000000abc",)"
          R"("rootServiceName":"front","rootTraceName":"GET /")",
          R"("startTimeUnixNano":"1763819000000000000","durationMs":2000)",
          R"("spanID":"0000000000000001","name":"GET /",)"
          R"("startTimeUnixNano":"1763819000000000000","durationNanos":"2000000000")",
          R"({"key":"count","value":{"intValue":"500"}})",
          R"({"key":"status","value":{"stringValue":"error"}})", R"("matched":1)",
          R"("serviceStats":{"db":{"spanCount":1},"front":{"spanCount":1,"errorCount":1}})",
          R"("inspectedSpans":")"}) {
        CAPTURE(part);
        CAPTURE(reply.body);
        CHECK(reply.has(part));
    }
    CHECK(!reply.has("0def"));
    const auto ids = [&](std::string q) {
        std::string encoded;
        for (const char c : q)
            encoded += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        const Reply found = server.get("/api/search?q=" + encoded);
        CAPTURE(found.body);
        CHECK(found.status == 200);
        return std::string(found.has("0abc") ? "shop" : "") + (found.has("0def") ? "later" : "");
    };
    CHECK(ids("{ }") == "shoplater");
    CHECK(ids("{ resource.service.name = \"db\" }") == "shop");
    CHECK(ids("{ trace:duration > 1s }") == "shop");
    CHECK(ids("{ rootName = \"GET /later\" }") == "later");
    CHECK(ids("{ name = \"SELECT\" } && { status = error }") == "shop");
    CHECK(ids("{ name = \"SELECT\" && status = error }").empty());
    CHECK(ids("{ nestedSetParent >= 0 }") == "shop");
    CHECK(ids("{ span.rows * 2 = 6 }") == "shop");
}

TEST_CASE("tag search takes logfmt with partial values") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(server.get("/api/search?tags=user.id%3D48").has("0abc"));
    CHECK(!server.get("/api/search?tags=user.id%3D48").has("0def"));
    CHECK(server.get("/api/search?tags=service.name%3DFRO%20name%3D%22get%22").has("0def"));
    CHECK(server.get("/api/search?tags=service.name%3Dfront&minDuration=1s").has("0abc"));
    CHECK(!server.get("/api/search?tags=service.name%3Dfront&minDuration=1s").has("0def"));
    // Of the trace, whatever span has the tags.
    CHECK(server.get("/api/search?tags=service.name%3Ddb&minDuration=2s").has("0abc"));
    CHECK(!server.get("/api/search?tags=service.name%3Ddb&minDuration=2001ms").has("0abc"));
    CHECK(!server.get("/api/search?tags=service.name%3Ddb&maxDuration=1s").has("0abc"));
    CHECK(server.get("/api/search?tags=service.name%3Ddb&maxDuration=2s").has("0abc"));
    // Those that are too short do not count against the limit.
    const Reply one = server.get("/api/search?tags=service.name%3Dfront&minDuration=1s&limit=1");
    CHECK(one.has("0abc"));
}

TEST_CASE("malformed questions to Tempo are plain text that says what is wrong") {
    TestServer server({kShopTrace});
    struct Case {
        const char* target;
        const char* text;
    };
    for (const Case& bad :
         {Case{"/api/search?q=%7B%20this%20is%20not%20traceql",
               "invalid TraceQL query: parse error at line 1, col 3: "},
          Case{"/api/search?q=%7B%7D%20%7C%20rate()", "this query draws series"},
          Case{"/api/metrics/query_range?q=%7B%7D", "this query finds traces"},
          Case{"/api/metrics/query_range?q=%7B%7D%20%7C%20rate()&step=soon", "'step'"},
          Case{"/api/metrics/query_range?q=%7B%7D%20%7C%20rate()&start=0&end=1763820000&step=1",
               "use a larger step"},
          Case{"/api/search?q=%7B%7D&tags=a%3Db", "either q or tags"},
          Case{"/api/search?limit=0", "'limit'"}, Case{"/api/search?limit=2147483648", "'limit'"},
          Case{"/api/search?start=5&end=5", "before end"}, Case{"/api/search?start=x", "'start'"},
          Case{"/api/search?tags=novalue", "key=value"},
          Case{"/api/search?tags=a%3D%22open", "not closed"},
          Case{"/api/v2/search/tags?scope=moon", "invalid scope"},
          Case{"/api/v2/search/tag/foo/values", "not valid intrinsic or scoped attribute"}}) {
        CAPTURE(bad.target);
        const Reply reply = server.get(bad.target);
        CAPTURE(reply.body);
        CHECK(reply.status == 400);
        CHECK(reply.headers.get("content-type").starts_with("text/plain"));
        CHECK(reply.has(bad.text));
    }
}

TEST_CASE("TraceQL metrics answer series over time, or one value") {
    TestServer server({kShopTrace, kLaterTrace});
    std::string q;
    append_percent_encoded(q, "{ } | count_over_time() by(resource.service.name)");
    const std::string times = "&start=1763818800&end=1763820000&step=300s";
    const Reply range = server.get("/api/metrics/query_range?q=" + q + times);
    CAPTURE(range.body);
    CHECK(range.status == 200);
    CHECK(range.headers.get("x-spanloom-weighted") == "true");
    CHECK(range.headers.get("x-spanloom-sampled") == "false");
    CHECK(range.has(R"({"key":"resource.service.name","value":{"stringValue":"front"}})"));
    CHECK(range.has(R"({"timestampMs":"1763819100000","value":1})"));
    const Reply instant = server.get("/api/metrics/query?query=" + q + times);
    CAPTURE(instant.body);
    CHECK(instant.has(
        R"({"key":"resource.service.name","value":{"stringValue":"front"}}],"value":2)"));
}

TEST_CASE("two traces are compared by operation") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply reply = server.post("/api/v2/traces/diff",
                                    R"({"base":{"traceId":"abc"},"compare":{"traceId":"def"}})");
    CHECK(reply.has(R"({"service":"front","name":"GET /","change":"removed","base":)"
                    R"({"spanCount":1,"errorCount":1,"durationNanos":"2000000000"})"));
    CHECK(reply.has(R"("name":"GET /later","change":"added")"));
    CHECK(server.post("/api/v2/traces/diff", "{}").status == 400);
    CHECK(server.get("/api/v2/traces/diff").status == 405);
    CHECK(server.get("/api/v2/traces/diff").headers.get("allow") == "POST");
    CHECK(server
              .post("/api/v2/traces/diff",
                    R"({"base":{"traceId":"abc"},"compare":{"traceId":"fff"}})")
              .status == 404);
}

TEST_CASE("tags and their values are listed by scope") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply tags = server.get("/api/v2/search/tags");
    CHECK(tags.has(R"({"name":"resource","tags":["host.name","service.name"]})"));
    CHECK(tags.has(R"("name":"span","tags":["count","huge","list")"));
    CHECK(tags.has(R"({"name":"event","tags":["why"]})"));
    CHECK(tags.has(R"({"name":"intrinsic","tags":["duration")"));
    const Reply resource = server.get("/api/v2/search/tags?scope=resource");
    CHECK(!resource.has("intrinsic"));
    CHECK(server.get("/api/search/tags").has(R"("tagNames":["count","host.name")"));
    const auto values = [&](std::string tag) {
        return server.get("/api/v2/search/tag/" + tag + "/values").body;
    };
    CHECK(values("resource.service.name") ==
          R"({"tagValues":[{"type":"string","value":"db"},{"type":"string",)"
          R"("value":"front"}],"metrics":{}})");
    CHECK(values("resource%252Eservice.name").find("front") != std::string::npos);
    CHECK(values(".count") == R"({"tagValues":[{"type":"int","value":"500"}],"metrics":{}})");
    CHECK(values("span.yes") == R"({"tagValues":[{"type":"bool","value":"true"}],"metrics":{}})");
    CHECK(values("status").find(R"({"type":"keyword","value":"error"})") != std::string::npos);
    CHECK(values("kind").find(R"({"type":"keyword","value":"producer"})") != std::string::npos);
    CHECK(values("duration") == R"({"tagValues":[],"metrics":{}})");
    CHECK(values("name").find("GET /later") != std::string::npos);
    CHECK(values("rootName").find("SELECT") == std::string::npos);
    CHECK(values("event:name") ==
          R"({"tagValues":[{"type":"string","value":"boom"}],"metrics":{}})");
    // What is still being typed narrows as far as it is whole.
    const Reply narrowed = server.get(
        "/api/v2/search/tag/name/"
        "values?q=%7B%20resource.service.name%20%3D%20%22db%22%20%26%26%20span.x%20%3D%20%7D");
    CHECK(narrowed.body == R"({"tagValues":[{"type":"string","value":"SELECT"}],"metrics":{}})");
    // As clients write texts there, and with quotes around it all.
    for (const std::string_view typed :
         {"{ resource.service.name = 'db' }", "\"{resource.service.name='db'}\"",
          "{ resource.service.name = 'db' && span.x = }", "{resource.service.name=`db`}"}) {
        CAPTURE(typed);
        std::string target = "/api/v2/search/tag/name/values?q=";
        append_percent_encoded(target, typed);
        CHECK(server.get(target).body == narrowed.body);
    }
    CHECK(server.get("/api/search/tag/service.name/values").body ==
          R"({"tagValues":["db","front"],"metrics":{}})");
    CHECK(server.get("/api/search/tag/status.code/values").has(R"("error")"));
}

TEST_CASE("explain tells how a query is answered, and what was read for it") {
    TestServer server({kShopTrace, kLaterTrace});
    const auto ask = [&](std::string_view query, std::string_view more = "",
                         const char* accept = "application/json") {
        std::string target = "/api/explain?q=";
        append_percent_encoded(target, query);
        return server.get(target + std::string(more), {{"accept", accept}});
    };
    Reply reply = ask("{ status = error }");
    CAPTURE(reply.body);
    CHECK(reply.status == 200);
    CHECK(reply.has(R"({"plan":["read columns, newest first, for spans with )"));
    CHECK(reply.has(R"("bytes_read":0,"skipped":"no row group can match"})"));
    CHECK(reply.has(R"("bytes_read":)"));
    CHECK(reply.has(R"("traces":1,"ms":)"));
    CHECK(reply.has(R"("partial":false,"reason":"","notes":[]})"));
    reply = ask("{ span.count = \"500\" }");
    CHECK(reply.has(R"("traces":0)"));
    CHECK(reply.has("did you mean 500?"));
    reply = ask("{ } | rate() by(name)", "&start=1763819400&end=1763819600");
    CHECK(reply.has(R"("plan":["count spans with )"));
    CHECK(reply.has(R"("skipped":"outside the time range")"));
    CHECK(reply.has(R"("series":1)"));
    reply = ask("{ } >> { status = error }", "", "text/plain");
    CHECK(reply.headers.get("content-type").starts_with("text/plain"));
    CHECK(reply.body.starts_with("1. read columns, newest first"));
    CHECK(reply.has("segments: "));
    CHECK(reply.has(" traces found in "));
    reply = ask("{ nothing");
    CHECK(reply.status == 400);
    CHECK(reply.has("invalid TraceQL query: parse error at line 1"));
}
