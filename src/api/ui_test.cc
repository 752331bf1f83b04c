#include <cstring>

#include <doctest/doctest.h>
#include <simdjson.h>

#include "api/skeleton.h"
#include "api/test_server.h"
#include "traceql/trace.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

// What a browser makes of a skeleton.
struct Decoded {
    simdjson::dom::parser parser;
    simdjson::dom::element header;
    std::string bytes;

    explicit Decoded(std::string given) : bytes(std::move(given)) {
        REQUIRE(bytes.size() > 8);
        CHECK(bytes.substr(0, 4) == "SLT1");
        uint32_t size = 0;
        std::memcpy(&size, bytes.data() + 4, 4);
        REQUIRE(size % 8 == 0);
        REQUIRE(parser.parse(bytes.data() + 8, size).get(header) == simdjson::SUCCESS);
    }

    std::vector<uint64_t> raw_column(std::string_view key) {
        for (const auto column : header["cols"]) {
            if (std::string_view(column["k"]) != key) continue;
            const std::string_view type = column["t"];
            const size_t width = type == "u8" ? 1 : type == "u16" ? 2 : 4;
            const uint64_t offset = column["off"];
            const uint64_t rows = column["n"];
            CHECK(offset % 8 == 0);
            REQUIRE(offset + rows * width <= bytes.size());
            std::vector<uint64_t> values(rows, 0);
            const bool is_shuffled = std::string_view(column["enc"]) == "shuffle";
            for (size_t i = 0; i < rows; ++i) {
                for (size_t b = 0; b < width; ++b) {
                    const size_t at = is_shuffled ? b * rows + i : i * width + b;
                    values[i] |= uint64_t{static_cast<uint8_t>(bytes[offset + at])} << (8 * b);
                }
            }
            return values;
        }
        return {};
    }

    std::vector<int64_t> times(std::string_view key, std::string_view high_key) {
        std::vector<uint64_t> low = raw_column(key);
        const std::vector<uint64_t> high = raw_column(high_key);
        int bits = 32;
        for (const auto column : header["cols"]) {
            if (std::string_view(column["k"]) != high_key) continue;
            const std::string_view type = column["t"];
            bits += type == "u8" ? 8 : type == "u16" ? 16 : 32;
        }
        const bool is_signed = bool(header["signed"]) && key == "start";
        std::vector<int64_t> out;
        for (size_t i = 0; i < low.size(); ++i) {
            uint64_t value = low[i] | (high.empty() ? 0 : high[i] << 32);
            if (is_signed && bits < 64 && (value >> (bits - 1)) != 0) value |= ~uint64_t{0} << bits;
            out.push_back(static_cast<int64_t>(value));
        }
        return out;
    }

    std::string names() {
        const auto list = header["names"];
        std::string out;
        for (const uint64_t index : raw_column("name")) {
            if (!out.empty()) out += ' ';
            out += std::string_view(list.at(index));
        }
        return out;
    }
};

struct SpanLine {
    const char* id;
    const char* parent;
    const char* name;
    uint64_t start;
    uint64_t end;
    int kind = 1;
};

traceql::Trace trace_of(const std::vector<SpanLine>& lines) {
    std::string json = R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name",)"
                       R"("value":{"stringValue":"s"}}]},"scopeSpans":[{"spans":[)";
    for (const SpanLine& line : lines) {
        if (&line != lines.data()) json += ',';
        json += fmt::format(R"({{"traceId":"00000000000000000000000000000abc","spanId":"{:0>16}",)"
                            R"("parentSpanId":"{}","name":"{}","kind":{},"startTimeUnixNano":"{}",)"
                            R"("endTimeUnixNano":"{}"}})",
                            line.id, *line.parent == 0 ? "" : fmt::format("{:0>16}", line.parent),
                            line.name, line.kind, line.start, line.end);
    }
    json += "]}]}]}";
    auto bytes = otlp::json_to_protobuf(json);
    REQUIRE_MESSAGE(bytes.has_value(), (bytes ? "" : bytes.error().message));
    store::StoredTrace stored;
    stored.traces_data = *bytes;
    auto trace = traceql::Trace::read(stored);
    REQUIRE(trace.has_value());
    return std::move(*trace);
}

}  // namespace

TEST_CASE("rows lie depth first, siblings by start, times after the parent's start") {
    const auto trace = trace_of({{"1", "", "root", 1000, 9000, 2},
                                 {"3", "1", "second", 5000, 8500, 3},
                                 {"2", "1", "first", 2000, 4000, 3},
                                 {"4", "2", "below", 2500, 3000},
                                 {"5", "ff", "orphan", 6000, 6000}});
    Decoded decoded(write_skeleton(trace, SpanId::parse("0000000000000003")));
    CHECK(decoded.names() == "root first below second orphan");
    CHECK(decoded.times("start", "start_hi") == std::vector<int64_t>{0, 1000, 500, 4000, 5000});
    CHECK(decoded.times("dur", "dur_hi") == std::vector<int64_t>{8000, 2000, 500, 3500, 0});
    CHECK(decoded.raw_column("up") == std::vector<uint64_t>{0, 1, 1, 3, 0});
    CHECK(decoded.raw_column("start_hi").empty());
    CHECK(std::string_view(decoded.header["t0"]) == "1000");
    CHECK(uint64_t(decoded.header["dur"]) == 8000);
    CHECK(uint64_t(decoded.header["n"]) == 5);
    CHECK(int64_t(decoded.header["sel"]) == 3);
    CHECK(uint64_t(decoded.header["missingParents"]) == 1);
    CHECK(!bool(decoded.header["complete"]));
    CHECK(!bool(decoded.header["signed"]));
    const auto flags = decoded.raw_column("flags");
    CHECK((flags[0] >> kFlagKindShift & 7) == 2);
    CHECK((flags[4] & kFlagOrphan) != 0);
    CHECK((flags[3] & kFlagOrphan) == 0);
    // The root waited for all but the orphan.
    for (size_t row = 0; row < 4; ++row)
        CHECK((flags[row] & kFlagCritical) != 0);
    CHECK((flags[4] & kFlagCritical) == 0);
}

TEST_CASE("work that ran beside the critical path is not on it") {
    const auto trace = trace_of({{"1", "", "root", 0, 100},
                                 {"2", "1", "long", 10, 90},
                                 {"3", "1", "beside", 20, 50},
                                 {"4", "1", "after-the-end", 95, 150}});
    Decoded decoded(write_skeleton(trace, std::nullopt));
    const auto flags = decoded.raw_column("flags");
    CHECK((flags[1] & kFlagCritical) != 0);
    CHECK((flags[2] & kFlagCritical) == 0);
    CHECK((flags[3] & kFlagCritical) == 0);
}

TEST_CASE("times that need more bits, or a sign, get them") {
    const uint64_t hour = 3600ULL * 1'000'000'000;
    const auto trace = trace_of({{"1", "", "root", 10 * hour, 12 * hour},
                                 {"2", "1", "early", 10 * hour - 5, 11 * hour},
                                 {"3", "1", "late", 12 * hour, 12 * hour + 1}});
    Decoded decoded(write_skeleton(trace, std::nullopt));
    CHECK(bool(decoded.header["signed"]));
    CHECK(decoded.times("start", "start_hi") ==
          std::vector<int64_t>{5, -5, static_cast<int64_t>(2 * hour)});
    CHECK(decoded.times("dur", "dur_hi") ==
          std::vector<int64_t>{static_cast<int64_t>(2 * hour), static_cast<int64_t>(hour + 5), 1});
    const auto far =
        trace_of({{"1", "", "root", 1, 2},
                  {"2", "1", "2262", 9'223'372'036'854'775'807ULL, 9'223'372'036'854'775'807ULL}});
    Decoded wide(write_skeleton(far, std::nullopt));
    CHECK(wide.times("start", "start_hi")[1] == 9'223'372'036'854'775'806LL);
}

TEST_CASE("cycles, self parents and shared ids end in a tree") {
    const auto cycle = trace_of({{"1", "2", "a", 10, 20},
                                 {"2", "3", "b", 5, 20},
                                 {"3", "1", "c", 15, 20},
                                 {"4", "4", "self", 1, 2}});
    Decoded decoded(write_skeleton(cycle, std::nullopt));
    CHECK(decoded.names() == "self b a c");
    CHECK(decoded.raw_column("up") == std::vector<uint64_t>{0, 0, 1, 1});
    const auto flags = decoded.raw_column("flags");
    CHECK((flags[0] & kFlagOrphan) != 0);
    CHECK((flags[1] & kFlagOrphan) != 0);
    // Zipkin: the server has the id of the client that called it; its children are its own.
    const auto shared = trace_of({{"1", "", "root", 0, 100, 2},
                                  {"2", "1", "client", 10, 90, 3},
                                  {"2", "1", "server", 20, 80, 2},
                                  {"3", "2", "child", 30, 40}});
    Decoded zipkin(write_skeleton(shared, std::nullopt));
    CHECK(zipkin.names() == "root client server child");
    CHECK(zipkin.raw_column("up") == std::vector<uint64_t>{0, 1, 1, 1});
}

TEST_CASE("a chain as deep as the trace is long does not recurse") {
    std::vector<SpanLine> lines;
    std::vector<std::string> ids;
    for (int i = 0; i <= 20'000; ++i)
        ids.push_back(fmt::format("{:x}", i + 1));
    for (int i = 0; i < 20'000; ++i)
        lines.push_back({ids[i].c_str(), i == 0 ? "" : ids[i - 1].c_str(), "n",
                         static_cast<uint64_t>(i), 100'000});
    Decoded decoded(write_skeleton(trace_of(lines), std::nullopt));
    CHECK(decoded.raw_column("up").back() == 1);
}

TEST_CASE("a trace without spans is a skeleton without rows") {
    Decoded decoded(write_skeleton(traceql::Trace{}, std::nullopt));
    CHECK(uint64_t(decoded.header["n"]) == 0);
}

TEST_CASE("boot and health tell the page where it is") {
    TestServer server({kShopTrace});
    const Reply boot = server.get("/api/ui/v1/boot");
    CHECK(boot.body ==
          R"({"version":"1.2.3","features":["search","trace","metrics"],"services":["db",)"
          R"("front"],"now_ns":"1763820000000000000",)"
          R"("endpoints":{"otlp_grpc":"127.0.0.1:4317",)"
          R"("otlp_http":"127.0.0.1:4318"},"spans":"2",)"
          R"("limits":{"search_limit_max":1000}})");
    const Reply health = server.get("/api/ui/v1/health");
    CHECK(health.has(R"("spans":"2","spans_per_s":0)"));
    CHECK(health.has(R"("oldest_ns":null,"rejected":"0","state":"ok","reason":"")"));
}

TEST_CASE("search answers lines, newest first, and goes on from its cursor") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply first =
        server.post("/api/ui/v1/search",
                    R"({"q":"{ }","from":"0","to":"1863819000000000000","limit":1,"cursor":null})");
    CHECK(first.status == 200);
    CHECK(first.headers.get("content-type") == "application/x-ndjson");
    CHECK(first.body.starts_with(
        R"({"trace":{"id":"00000000000000000000000000000def",)"
        R"("root_service":"front","root_name":"GET /later",)"
        R"("start_ns":"1763819500000000000","duration_ns":"1000000","spans":1,)"
        R"("errors":0,"services":[{"name":"front","spans":1,"errors":0}],)"
        R"("matched":1,"matched_spans":[{"id":"0000000000000009","name":"GET )"
        R"(/later","start_ns":"1763819500000000000","duration_ns":"1000000"}],)"
        R"("root_received":true}})"));
    const std::string cursor = "1763819500000000000:00000000000000000000000000000def";
    CHECK(first.has(R"({"end":{"cursor":")" + cursor + R"(","stats":{"scanned_spans":)"));
    const Reply second =
        server.post("/api/ui/v1/search", R"({"q":"{ }","limit":1,"cursor":")" + cursor + R"("})");
    CHECK(second.has(R"("id":"00000000000000000000000000000abc")"));
    CHECK(!second.has("0def\",\"root"));
    const Reply evaluated = server.post("/api/ui/v1/search", R"({"q":"{ traceDuration > 1s }"})");
    CHECK(evaluated.has(R"("matched":2)"));
    CHECK(evaluated.has(R"("cursor":null)"));
    CHECK(evaluated.has(R"("notes":[])"));
    const Reply odd = server.post("/api/ui/v1/search", R"({"q":"{ span.count = \"500\" }"})");
    CHECK(odd.has(R"("notes":["`count` is a number here: did you mean 500?"])"));
}

TEST_CASE("a search in another order goes on from its cursor, too") {
    TestServer server({kShopTrace, kLaterTrace});
    for (const char* sort : {"duration", "rootName", "start"}) {
        CAPTURE(sort);
        std::string cursor = "null";
        std::string found;
        for (int page = 0; page < 3 && (page == 0 || cursor != "null"); ++page) {
            const Reply reply = server.post(
                "/api/ui/v1/search",
                fmt::format(R"json({{"q":"{{ }} with(sort=\"{}\")","limit":1,"cursor":{}}})json",
                            sort, cursor));
            REQUIRE(reply.status == 200);
            found += reply.has(R"(0abc","root_service)") ? "abc " : "";
            found += reply.has(R"(0def","root_service)") ? "def " : "";
            const size_t at = reply.body.find(R"("cursor":)") + 9;
            cursor = reply.body.substr(at, reply.body.find(',', at) - at);
        }
        CHECK(found.size() == 8);
        CHECK(found.substr(0, 4) != found.substr(4));
    }
}

TEST_CASE("a query that cannot be read says where, in the units of the page") {
    TestServer server({});
    const Reply reply =
        server.post("/api/ui/v1/search", R"({"q":"{ name = \"é😀\" && durations > 1s }"})");
    CHECK(reply.status == 400);
    CHECK(reply.has(R"("code":"invalid_argument","message":"unknown name durations")"));
    CHECK(reply.has("did you mean duration?"));
    CHECK(reply.has(R"("pos":18,)"));
    for (const char* body :
         {"", "[]", "{", R"({"q":5})", R"({"q":"{ }","limit":0})", R"({"q":"{ }","limit":1001})",
          R"({"q":"{ }","cursor":"x"})", R"({"q":"{ }","cursor":"5:"})",
          R"({"q":"{ }","from":"soon"})", R"({"q":"{ }","from":"5","to":"5"})"}) {
        CAPTURE(body);
        const Reply bad = server.post("/api/ui/v1/search", body);
        CHECK(bad.status == 400);
        CHECK(bad.has(R"("code":"invalid_argument")"));
    }
    CHECK(server.post("/api/ui/v1/search", std::string(17 << 20, 'x')).status >= 400);
}

TEST_CASE("parse colours a query and explains what is wrong with it") {
    TestServer server({});
    CHECK(server.post("/api/ui/v1/parse", R"({"q":"{ span.a = 1s }"})").body ==
          R"({"ok":true,"tokens":[{"from":0,"to":1,"kind":"brace"},{"from":2,)"
          R"("to":7,"kind":"scope"},{"from":7,"to":8,"kind":"attribute"},{"from":9,)"
          R"("to":10,"kind":"operator"},{"from":11,"to":13,"kind":"duration"},)"
          R"({"from":14,"to":15,"kind":"brace"}]})");
    const Reply wrong = server.post("/api/ui/v1/parse", R"({"q":"{ foo = 1 }"})");
    CHECK(wrong.status == 200);
    CHECK(wrong.has(R"({"ok":false,"message":"unknown name foo","pos":2,"hint":"write .foo )"
                    R"(or span.foo","tokens":[)"));
    CHECK(server.post("/api/ui/v1/parse", "no json").status == 400);
}

TEST_CASE("completions come from what is stored") {
    TestServer server({kShopTrace});
    CHECK(server.get("/api/ui/v1/operations?service=front").body ==
          R"({"operations":[{"name":"GET /","kind":"server"}]})");
    CHECK(server.get("/api/ui/v1/operations").status == 400);
    CHECK(server.get("/api/ui/v1/keys?scope=resource").body ==
          R"({"keys":["host.name","service.name"]})");
    CHECK(server.get("/api/ui/v1/keys?scope=moon").status == 400);
    CHECK(server.get("/api/ui/v1/values?key=span.count&q=").body ==
          R"({"values":[{"type":"int","value":"500"}]})");
    CHECK(server.get("/api/ui/v1/values?key=resource.service.name&q=FR").body ==
          R"({"values":[{"type":"string","value":"front"}]})");
    CHECK(server.get("/api/ui/v1/values?key=user.id&q=4").body ==
          R"({"values":[{"type":"string","value":"4815"}]})");
    CHECK(server.get("/api/ui/v1/values?key=name&q=sel").body ==
          R"({"values":[{"type":"string","value":"SELECT"}]})");
}

TEST_CASE("rows carry everything a span has") {
    TestServer server({kShopTrace});
    const Reply reply = server.get("/api/ui/v1/trace/abc/rows?rows=0-1");
    CHECK(reply.status == 200);
    for (const std::string_view part :
         {R"("row":0,"span_id":"0000000000000001","parent_span_id":"","name":"GET )"
          R"(/","kind":"server","service":"front")",
          R"("start_ns":"1763819000000000000","end_ns":"1763819002000000000")",
          R"("status":{"code":"error","message":"broke"},"trace_state":"a=b","flags":257)",
          R"({"key":"yes","type":"bool","value":true,"cut":false})",
          R"({"key":"count","type":"int","value":500,"cut":false})",
          R"({"key":"huge","type":"int","value":"9223372036854775807","cut":false})",
          R"({"key":"ratio","type":"double","value":0.5,"cut":false})",
          R"({"key":"raw","type":"bytes","value":"AQID","cut":false})",
          R"({"key":"list","type":"array","value":[1,"b"],"cut":false})",
          R"({"key":"map","type":"kvlist","value":{"k":false},"cut":false})",
          R"("events":[{"name":"boom","time_ns":"1763819001000000000",)"
          R"("attributes":[{"key":"why","type":"string","value":"because",)"
          R"("cut":false}]}])",
          R"("links":[{"trace_id":"0000000000000000000000000000dead",)"
          R"("span_id":"00000000000000aa","trace_state":"","attributes":[]}])",
          R"("schema_url":"https://s/1"})",
          R"("scope":{"name":"lib","version":"1.0","attributes":[])",
          R"("dropped":{"attributes":0,"events":0,"links":0})",
          R"("row":1,"span_id":"0000000000000002")"}) {
        CAPTURE(part);
        CAPTURE(reply.body);
        CHECK(reply.has(part));
    }
    CHECK(server.get("/api/ui/v1/trace/abc/rows?rows=5-9").body == R"({"rows":[]})");
    for (const char* bad : {"x", "3-1", "-1", "1-x"}) {
        CAPTURE(bad);
        CHECK(server.get("/api/ui/v1/trace/abc/rows?rows=" + std::string(bad)).status == 400);
    }
    CHECK(server.get("/api/ui/v1/trace/fff/rows?rows=0").status == 404);
}

TEST_CASE("long values are cut at a character, and whole when asked for") {
    std::string text;
    for (int i = 0; i < 3000; ++i)
        text += "é";
    std::string trace(kLaterTrace);
    const std::string name = R"("name":"GET /later")";
    trace.replace(
        trace.find(name), name.size(),
        name + R"(,"attributes":[{"key":"big","value":{"stringValue":")" + text + R"("}}])");
    TestServer server({trace});
    const Reply cut = server.get("/api/ui/v1/trace/def/rows?rows=0");
    CHECK(cut.has(R"(","cut":true})"));
    CHECK(is_valid_utf8(cut.body));
    CHECK(!cut.has(text));
    CHECK(server.get("/api/ui/v1/trace/def/rows?rows=0&full=1").has(text));
}

TEST_CASE("a skeleton has an ETag that follows the trace") {
    TestServer server({kShopTrace});
    const Reply first = server.get("/api/ui/v1/trace/abc/skeleton?span=0000000000000002");
    CHECK(first.status == 200);
    Decoded decoded(first.body);
    CHECK(int64_t(decoded.header["sel"]) == 1);
    CHECK(decoded.names() == "GET / SELECT");
    const std::string tag(first.headers.get("etag"));
    CHECK(
        server.get("/api/ui/v1/trace/abc/skeleton?span=0000000000000002", {{"if-none-match", tag}})
            .status == 304);
    CHECK(server.get("/api/ui/v1/trace/abc/skeleton", {{"if-none-match", tag}}).status == 200);
    std::string later(kLaterTrace);
    later.replace(later.find("def"), 3, "abc");
    server.store.add(later);
    const Reply grown =
        server.get("/api/ui/v1/trace/abc/skeleton?span=0000000000000002", {{"if-none-match", tag}});
    CHECK(grown.status == 200);
    CHECK(uint64_t(Decoded(grown.body).header["n"]) == 3);
    CHECK(server.get("/api/ui/v1/trace/abc/skeleton?span=xyz").status == 400);
    CHECK(server.get("/api/ui/v1/trace/fff/skeleton").status == 404);
}

TEST_CASE("a trace can be taken home in two forms") {
    TestServer server({kShopTrace});
    const Reply otlp = server.get("/api/ui/v1/trace/abc/export?format=otlp");
    CHECK(otlp.has(R"({"resourceSpans":[)"));
    CHECK(otlp.headers.get("content-disposition") ==
          "attachment; filename=\"trace-00000000000000000000000000000abc.json\"");
    CHECK(server.get("/api/ui/v1/trace/abc/export?format=jaeger").has(R"({"data":[{"traceID":)"));
    CHECK(server.get("/api/ui/v1/trace/abc/export?format=pdf").status == 400);
}

TEST_CASE("the map has services, who calls from outside, and what sends no spans") {
    constexpr std::string_view kOrders = R"({"resourceSpans":[
     {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},
      "scopeSpans":[{"spans":[
       {"traceId":"00000000000000000000000000000eee","spanId":"0000000000000001","name":"GET /",
        "kind":2,"startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819001000000000",
        "traceState":"ot=th:8","flags":1},
       {"traceId":"00000000000000000000000000000eee","spanId":"0000000000000002",
        "parentSpanId":"0000000000000001","name":"SELECT","kind":3,"traceState":"ot=th:8",
        "startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819000500000000",
        "attributes":[{"key":"db.system.name","value":{"stringValue":"postgresql"}},
                      {"key":"db.namespace","value":{"stringValue":"shop"}}]},
       {"traceId":"00000000000000000000000000000eee","spanId":"0000000000000003",
        "parentSpanId":"0000000000000001","name":"call","kind":3,
        "startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819000100000000"},
       {"traceId":"00000000000000000000000000000eee","spanId":"0000000000000004",
        "parentSpanId":"0000000000000001","name":"send","kind":4,
        "startTimeUnixNano":"1763819000000000000","endTimeUnixNano":"1763819000100000000"}]}]},
     {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mailer"}}]},
      "scopeSpans":[{"spans":[
       {"traceId":"00000000000000000000000000000eee","spanId":"0000000000000005",
        "parentSpanId":"0000000000000004","name":"receive","kind":5,"status":{"code":2},
        "startTimeUnixNano":"1763819003000000000","endTimeUnixNano":"1763819003100000000"}]}]}]})";
    TestServer server({kOrders});
    const Reply reply =
        server.get("/api/ui/v1/map?from=1763818800000000000&to=1763819700000000000");
    CAPTURE(reply.body);
    simdjson::dom::parser parser;
    simdjson::dom::element answer;
    REQUIRE(parser.parse(reply.body).get(answer) == simdjson::SUCCESS);
    CHECK(answer["nodes"].get_array().size() == 2);
    CHECK(std::string_view(answer["nodes"].at(1)["name"]) == "orders");
    CHECK(double(answer["nodes"].at(1)["count"]) == 6);  // two stand for two each
    CHECK(uint64_t(answer["nodes"].at(1)["spans"]) == 4);
    CHECK(double(answer["nodes"].at(0)["errors"]) == 1);
    CHECK(double(answer["nodes"].at(1)["rate"]) == doctest::Approx(6.0 / 900));
    std::map<std::string, simdjson::dom::element> edges;
    for (const auto edge : answer["edges"].get_array()) {
        const std::string_view client = edge["client"];
        const std::string_view to = edge["server"];
        const std::string_view type = edge["type"];
        edges[fmt::format("{} {} {}", client, to, type)] = edge;
    }
    REQUIRE(edges.size() == 3);
    REQUIRE(edges.count("user orders virtual_node") == 1);
    const auto database = edges.at("orders shop database");
    CHECK(double(database["count"]) == 2);
    CHECK(uint64_t(database["spans"]) == 1);
    CHECK(double(database["errors"]) == 0);
    CHECK(double(database["p50_ns"]) == doctest::Approx(5e8).epsilon(0.05));
    const auto queue = edges.at("orders mailer messaging_system");
    CHECK(double(queue["errors"]) == 1);
    CHECK(double(queue["queue_p95_ns"]) == doctest::Approx(3e9).epsilon(0.05));
    REQUIRE(answer["unpaired"].get_array().size() == 1);
    CHECK(std::string_view(answer["unpaired"].at(0)["client"]) == "orders");
    CHECK(!bool(answer["partial"]));
    CHECK(server.get("/api/ui/v1/map?from=5&to=5").status == 400);
}

TEST_CASE("spans that came late are flagged, and tell by how much") {
    TestServer server({});
    constexpr uint64_t kEnd = 1'763'819'002'000'000'000;
    server.store.add(kShopTrace, kEnd);
    server.store.add(kLaterTrace, kEnd);
    server.store.add(R"({"resourceSpans":[
     {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"slow"}}]},
      "scopeSpans":[{"spans":[
       {"traceId":"00000000000000000000000000000abc","spanId":"00000000000000aa",
        "parentSpanId":"0000000000000002","name":"tried again","kind":1,
        "startTimeUnixNano":"1763819000600000000","endTimeUnixNano":"1763819000650000000"}]}]}]})",
                     kEnd + 754'300'000'000);
    Decoded decoded(server.get("/api/ui/v1/trace/abc/skeleton").body);
    CHECK(decoded.names() == "GET / SELECT tried again");
    const auto flags = decoded.raw_column("flags");
    CHECK((flags[0] & kFlagLate) == 0);
    CHECK((flags[2] & kFlagLate) != 0);
    CHECK((flags[0] & kFlagEvents) != 0);
    CHECK((flags[0] & kFlagLinks) != 0);
    CHECK((flags[2] & (kFlagEvents | kFlagLinks)) == 0);
    const auto finding = decoded.header["findings"].at(0);
    CHECK(std::string_view(finding["rule"]) == "late");
    CHECK(std::string_view(finding["ns"]) == "754000000000");
    CHECK(std::string_view(finding["message"]).find("up to 12m34s after") !=
          std::string_view::npos);
    const Reply rows = server.get("/api/ui/v1/trace/abc/rows?rows=1-2");
    CHECK(rows.has(R"("late_ns":"754000000000")"));
    CHECK(rows.body.find("late_ns") == rows.body.rfind("late_ns"));
}

TEST_CASE("services come with their rates, errors and durations by step") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply reply = server.get(
        "/api/ui/v1/services?from=1763818800000000000&to=1763819700000000000&step=300000000000");
    CAPTURE(reply.body);
    simdjson::dom::parser parser;
    simdjson::dom::element answer;
    REQUIRE(parser.parse(reply.body).get(answer) == simdjson::SUCCESS);
    CHECK(std::string_view(answer["from"]) == "1763818800000000000");
    CHECK(std::string_view(answer["step"]) == "300000000000");
    const auto services = answer["services"];
    REQUIRE(services.get_array().size() == 2);
    CHECK(std::string_view(services.at(0)["name"]) == "db");
    const auto front = services.at(1);
    CHECK(std::string_view(front["name"]) == "front");
    REQUIRE(front["rate"].get_array().size() == 3);
    CHECK(uint64_t(front["errors"].at(0)) == 1);
    CHECK(uint64_t(front["errors"].at(1)) == 0);
    CHECK(front["p50_ns"].at(1).is_null());
    CHECK(double(front["rate"].at(0)) == doctest::Approx(1.0 / 300));
    CHECK(uint64_t(front["total"]["count"]) == 2);
    CHECK(uint64_t(front["total"]["errors"]) == 1);
    CHECK(uint64_t(front["operations"]) == 2);
    CHECK(double(front["total"]["p95_ns"]) == doctest::Approx(2e9).epsilon(0.05));
    CHECK(server.get("/api/ui/v1/services?from=5&to=5").status == 400);
    CHECK(server.get("/api/ui/v1/services?from=x").status == 400);
    CHECK(server.get("/api/ui/v1/services").status == 200);
}
