#include <doctest/doctest.h>

#include "api/test_server.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

std::string modern(std::string_view method, std::string_view params = "") {
    return fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":"{}","params":{{{}"_meta":{{)"
                       R"("io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                       R"("io.modelcontextprotocol/clientCapabilities":{{}}}}}}}})",
                       method, params.empty() ? "" : std::string(params) + ",");
}

Reply send(TestServer& server, std::string_view method, std::string_view params = "",
           std::string name = "") {
    TestServer::Fields fields = {{"mcp-protocol-version", "2026-07-28"},
                                 {"mcp-method", std::string(method)}};
    if (!name.empty()) fields.emplace_back("mcp-name", name);
    return server.post("/api/mcp", modern(method, params), fields);
}

Reply tool(TestServer& server, const std::string& name, std::string_view arguments) {
    return send(server, "tools/call", fmt::format(R"("name":"{}","arguments":{})", name, arguments),
                name);
}

constexpr std::string_view kTimes =
    R"("start":"2025-11-22T13:00:00Z","end":"2025-11-22T14:00:00Z")";

}  // namespace

TEST_CASE("MCP without sessions: discover, list, call") {
    TestServer server({kShopTrace, kLaterTrace});
    const Reply discovered = send(server, "server/discover");
    CHECK(discovered.status == 200);
    CHECK(discovered.has(R"({"jsonrpc":"2.0","id":1,"result":{"resultType":"complete",)"
                         R"("supportedVersions":["2026-07-28","2025-11-25")"));
    const Reply listed = send(server, "tools/list");
    for (const std::string_view name :
         {"traceql-search", "traceql-metrics-instant", "traceql-metrics-range", "get-trace",
          "trace-diff", "compare", "get-services", "get-attribute-names", "get-attribute-values",
          "docs-traceql", "docs-config"}) {
        CAPTURE(name);
        CHECK(listed.has(fmt::format(R"({{"name":"{}")", name)));
    }
    CHECK(listed.has(R"("readOnlyHint":true)"));
    const Reply found = tool(server, "traceql-search",
                             fmt::format(R"({{"query":"{{ status = error }}",{}}})", kTimes));
    CAPTURE(found.body);
    CHECK(found.has("1 traces, newest first"));
    CHECK(found.has("00000000000000000000000000000abc"));
    CHECK(found.has(R"("isError":false)"));
}

TEST_CASE("MCP: a trace begins with its errors and its critical path") {
    TestServer server({kShopTrace});
    const Reply reply = tool(server, "get-trace", R"({"trace_id":"abc"})");
    CAPTURE(reply.body);
    CHECK(reply.has("2 spans, started 2025-11-22T13:43:20.000000000Z, took 2s, root front GET /"));
    CHECK(reply.has("Errors:\\n- front GET / (span 0000000000000001) after 0ns: broke"));
    CHECK(reply.has("by own time:\\n- 1.8s of front GET /"));
    CHECK(reply.has("- 200ms of db SELECT"));
    CHECK(reply.has("Operations, by time:"));
}

TEST_CASE("MCP: the other tools") {
    TestServer server({kShopTrace, kLaterTrace});
    CHECK(tool(server, "get-services", fmt::format("{{{}}}", kTimes)).has("front: 2 requests"));
    CHECK(tool(server, "get-attribute-names", R"({"scope":"resource"})")
              .has("resource: host.name service.name"));
    CHECK(tool(server, "get-attribute-values", R"({"name":"resource.service.name"})")
              .has("db (string)\\nfront (string)"));
    CHECK(tool(server, "docs-traceql", "{}").has("# TraceQL\\n\\nOne language finds traces"));
    CHECK(tool(server, "docs-config", "{}").has("# Configuration"));
    const std::string query =
        R"json("query":"{ } | count_over_time() by(resource.service.name)")json";
    CHECK(tool(server, "traceql-metrics-instant", fmt::format("{{{},{}}}", query, kTimes))
              .has("2 series.\\n{resource.service.name=db}: 1\\n"));
    CHECK(tool(server, "traceql-metrics-range", fmt::format("{{{},{}}}", query, kTimes))
              .has("{resource.service.name=db}: 13:"));
    CHECK(
        tool(server, "compare", fmt::format(R"({{"selection":"{{ status = error }}",{}}})", kTimes))
            .has("name = GET /: 100.0 % of the selection"));
    CHECK(tool(server, "trace-diff", R"({"base_trace_id":"abc","compare_trace_id":"def"})")
              .has(R"(\"change\":\"added\")"));
}

TEST_CASE("MCP: a tool's failure is told to the model") {
    TestServer server({kShopTrace});
    const Reply bad = tool(server, "traceql-search", R"({"query":"{ nothing"})");
    CHECK(bad.status == 200);
    CHECK(bad.has(R"("isError":true)"));
    CHECK(bad.has("parse error at line 1, col"));
    CHECK(tool(server, "get-trace", R"({"trace_id":"fff"})").has(R"("isError":true)"));
    CHECK(tool(server, "get-trace", "{}").has("argument trace_id is required"));
    CHECK(tool(server, "nothing", "{}").has("Unknown tool"));
}

TEST_CASE("MCP: header fields must say what the body says") {
    TestServer server({});
    Reply reply = server.post("/api/mcp", modern("tools/list"),
                              {{"mcp-protocol-version", "2026-07-28"}, {"mcp-method", "ping"}});
    CHECK(reply.status == 400);
    CHECK(reply.has("-32020"));
    reply = server.post("/api/mcp", modern("tools/list"), {{"mcp-method", "tools/list"}});
    CHECK(reply.has("-32020"));
    std::string old = modern("tools/list");
    old.replace(old.find("2026-07-28"), 10, "1900-01-01");
    reply = server.post("/api/mcp", old,
                        {{"mcp-protocol-version", "1900-01-01"}, {"mcp-method", "tools/list"}});
    CHECK(reply.status == 400);
    CHECK(reply.has(R"("code":-32022)"));
    CHECK(reply.has(R"("requested":"1900-01-01")"));
    reply = send(server, "prompts/list");
    CHECK(reply.status == 404);
    CHECK(reply.has("-32601"));
}

TEST_CASE("MCP: the documentation is there as resources, too") {
    TestServer server({});
    const std::string uri = "spanloom://docs/traceql";
    Reply reply = send(server, "resources/list");
    CAPTURE(reply.body);
    CHECK(reply.has(R"({"uri":"spanloom://docs/traceql","name":"docs-traceql")"));
    CHECK(reply.has(R"({"uri":"spanloom://docs/configuration","name":"docs-config")"));
    CHECK(reply.has(R"("mimeType":"text/markdown","size":)"));
    CHECK(send(server, "resources/templates/list").has(R"("resourceTemplates":[])"));
    reply = send(server, "resources/read", fmt::format(R"("uri":"{}")", uri), uri);
    CHECK(reply.has(R"("contents":[{"uri":"spanloom://docs/traceql","mimeType":"text/markdown",)"
                    R"("text":"# TraceQL)"));
    CHECK(reply.has(R"("ttlMs":300000)"));
    reply = send(server, "resources/read", fmt::format(R"("uri":"{}")", uri), "spanloom://other");
    CHECK(reply.has("-32020"));
    reply = send(server, "resources/read", R"("uri":"file:///etc/passwd")", "file:///etc/passwd");
    CHECK(reply.has(R"("code":-32602,"message":"Resource not found: file:///etc/passwd")"));
    reply = server.post("/api/mcp", R"({"jsonrpc":"2.0","id":2,"method":"resources/read",)"
                                    R"("params":{"uri":"spanloom://no"}})");
    CHECK(reply.has("-32002"));
}

TEST_CASE("MCP of older clients begins with initialize") {
    TestServer server({});
    Reply reply =
        server.post("/api/mcp", R"({"jsonrpc":"2.0","id":"a","method":"initialize","params":{)"
                                R"("protocolVersion":"2025-06-18","capabilities":{},)"
                                R"("clientInfo":{"name":"x","version":"1"}}})");
    CHECK(reply.has(R"("id":"a","result":{"protocolVersion":"2025-06-18","capabilities":)"));
    reply = server.post("/api/mcp", R"({"jsonrpc":"2.0","method":"notifications/initialized"})",
                        {{"mcp-protocol-version", "2025-06-18"}});
    CHECK(reply.status == 202);
    reply = server.post("/api/mcp", R"({"jsonrpc":"2.0","id":2,"method":"tools/list"})",
                        {{"mcp-protocol-version", "2025-06-18"}});
    CHECK(reply.has(R"("result":{"tools":[)"));
    CHECK(server.get("/api/mcp").status == 405);
}

TEST_CASE("MCP: what is no message, and who may not ask") {
    TestServer server({});
    CHECK(server.post("/api/mcp", "{").has("-32700"));
    CHECK(server.post("/api/mcp", "[]").has("-32600"));
    CHECK(server.post("/api/mcp", R"({"jsonrpc":"2.0","id":{},"method":"ping"})").has("-32600"));
    CHECK(server
              .post("/api/mcp", modern("tools/list"),
                    {{"origin", "https://evil.example"}, {"host", "127.0.0.1:16686"}})
              .status == 403);
}
