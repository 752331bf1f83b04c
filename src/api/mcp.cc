// https://modelcontextprotocol.io/specification/2026-07-28 and its earlier revisions.
#include "api/mcp.h"

#include <algorithm>
#include <array>
#include <optional>

#include <simdjson.h>

#include "api/mcp_documents.h"
#include "api/mcp_tools.h"
#include "base/text.h"

namespace spanloom::api {
namespace {

constexpr std::string_view kModern = "2026-07-28";
constexpr std::array<std::string_view, 4> kLegacy = {"2025-11-25", "2025-06-18", "2025-03-26",
                                                     "2024-11-05"};
constexpr std::string_view kInstructions =
    "spanloom keeps distributed traces. Find traces with traceql-search, count and measure with "
    "traceql-metrics-instant (one value for all the time) and traceql-metrics-range (series), read "
    "one with get-trace (critical path and errors first), compare two with trace-diff or what is "
    "special about some spans with compare. get-services, get-attribute-names and "
    "get-attribute-values say what can be asked; docs-traceql explains the language, docs-config "
    "the server's settings. Everything only reads.";

constexpr int kParseError = -32700;
constexpr int kInvalidRequest = -32600;
constexpr int kMethodNotFound = -32601;
constexpr int kInvalidParams = -32602;
constexpr int kLegacyNoResource = -32002;
constexpr int kHeaderMismatch = -32020;
constexpr int kUnsupportedVersion = -32022;

struct RpcError {
    int http_status = 400;
    int code = kInvalidRequest;
    std::string message;
    std::string data;  // JSON, or nothing
};

// One message as read. `id` is JSON; empty: a notification.
struct Rpc {
    std::string id;
    std::string method;
    std::string name;               // params.name
    std::string uri;                // params.uri
    std::string version;            // params._meta, or of initialize params
    bool has_meta_version = false;  // modern
    McpArguments arguments;
};

http::Response error_response(std::string_view id, const RpcError& error) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("jsonrpc", std::string_view("2.0")).key("id");
    if (id.empty()) {
        json.null();
    } else {
        json.raw(id);
    }
    json.key("error").begin_object().field("code", error.code).field("message", error.message);
    if (!error.data.empty()) json.key("data").raw(error.data);
    json.end_object().end_object();
    return json_reply(std::move(out), error.http_status);
}

http::Response result_response(std::string_view id, std::string_view result) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("jsonrpc", std::string_view("2.0")).key("id").raw(id);
    json.key("result").raw(result).end_object();
    return json_reply(std::move(out));
}

std::string member_text(simdjson::dom::element element) {
    std::string_view text;
    if (element.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
    return std::string(simdjson::minify(element));
}

void read_params(simdjson::dom::object params, Rpc& rpc) {
    std::string_view text;
    if (params["name"].get_string().get(text) == simdjson::SUCCESS) rpc.name = text;
    if (params["uri"].get_string().get(text) == simdjson::SUCCESS) rpc.uri = text;
    if (params["protocolVersion"].get_string().get(text) == simdjson::SUCCESS) rpc.version = text;
    if (params["_meta"]["io.modelcontextprotocol/protocolVersion"].get_string().get(text) ==
        simdjson::SUCCESS) {
        rpc.version = text;
        rpc.has_meta_version = true;
    }
    simdjson::dom::object arguments;
    if (params["arguments"].get_object().get(arguments) != simdjson::SUCCESS) return;
    for (const auto& [key, value] : arguments)
        rpc.arguments.emplace_back(key, member_text(value));
}

tl::expected<Rpc, RpcError> read_message(std::string_view body) {
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS)
        return tl::unexpected(RpcError{400, kParseError, "the body is not JSON", {}});
    simdjson::dom::object message;
    std::string_view text;
    if (root.get_object().get(message) != simdjson::SUCCESS ||
        message["jsonrpc"].get_string().get(text) != simdjson::SUCCESS || text != "2.0")
        return tl::unexpected(
            RpcError{400, kInvalidRequest, "the body must be one JSON-RPC 2.0 message", {}});
    Rpc rpc;
    if (message["method"].get_string().get(text) != simdjson::SUCCESS)
        return tl::unexpected(
            RpcError{400, kInvalidRequest, "only requests and notifications are taken", {}});
    rpc.method = text;
    simdjson::dom::element id;
    if (message["id"].get(id) == simdjson::SUCCESS) {
        if (!id.is_string() && !id.is_int64() && !id.is_uint64())
            return tl::unexpected(
                RpcError{400, kInvalidRequest, "an id is a string or a whole number", {}});
        rpc.id = std::string(simdjson::minify(id));
    }
    simdjson::dom::object params;
    if (message["params"].get_object().get(params) == simdjson::SUCCESS) read_params(params, rpc);
    return rpc;
}

bool is_legacy(std::string_view version) {
    return std::find(kLegacy.begin(), kLegacy.end(), version) != kLegacy.end();
}

std::string versions_json(std::string_view requested) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("supported").begin_array().string(kModern);
    for (const std::string_view version : kLegacy)
        json.string(version);
    json.end_array().field("requested", requested).end_object();
    return out;
}

// Names that no header can hold go as =?base64?...?=.
std::string header_value(std::string_view text) {
    constexpr std::string_view kBegin = "=?base64?";
    constexpr std::string_view kEnd = "?=";
    if (!text.starts_with(kBegin) || !text.ends_with(kEnd) ||
        text.size() < kBegin.size() + kEnd.size())
        return std::string(text);
    text.remove_prefix(kBegin.size());
    text.remove_suffix(kEnd.size());
    return parse_base64(text).value_or("");
}

// The header fields of a modern request must say what its body says.
std::optional<RpcError> check_headers(const http::Request& request, const Rpc& rpc) {
    const std::string_view version = request.headers.get("mcp-protocol-version");
    const auto mismatch = [](std::string text) {
        return RpcError{400, kHeaderMismatch, "Header mismatch: " + std::move(text), {}};
    };
    const bool is_modern = rpc.has_meta_version ||
                           (!version.empty() && !is_legacy(version) && rpc.method != "initialize");
    if (!is_modern) return std::nullopt;
    const std::string& wanted = rpc.has_meta_version ? rpc.version : std::string(version);
    if (wanted != kModern && !is_legacy(wanted))
        return RpcError{400, kUnsupportedVersion, "Unsupported protocol version",
                        versions_json(wanted.substr(0, 100))};
    if (wanted != kModern && rpc.has_meta_version)
        return RpcError{400, kUnsupportedVersion,
                        "Unsupported protocol version: revisions before 2026-07-28 begin with "
                        "initialize",
                        versions_json(wanted)};
    if (version != rpc.version)
        return mismatch("MCP-Protocol-Version header value '" +
                        std::string(version.substr(0, 100)) + "' does not match body value '" +
                        rpc.version.substr(0, 100) + "'");
    const std::string_view method = request.headers.get("mcp-method");
    if (method != rpc.method)
        return mismatch("Mcp-Method header value '" + std::string(method.substr(0, 100)) +
                        "' does not match body value '" + rpc.method.substr(0, 100) + "'");
    if (rpc.method != "tools/call" && rpc.method != "resources/read") return std::nullopt;
    const std::string& target = rpc.method == "tools/call" ? rpc.name : rpc.uri;
    const std::string_view name = request.headers.get("mcp-name");
    if (header_value(name) != target)
        return mismatch("Mcp-Name header value '" + std::string(name.substr(0, 100)) +
                        "' does not match body value '" + target.substr(0, 100) + "'");
    return std::nullopt;
}

void write_server(JsonWriter& json, const Call& call) {
    json.key("capabilities").begin_object().key("tools").begin_object();
    json.field("listChanged", false).end_object();
    json.key("resources").begin_object().field("listChanged", false).end_object().end_object();
    json.key("serverInfo").begin_object().field("name", std::string_view("spanloom"));
    json.field("title", std::string_view("spanloom: distributed traces"));
    json.field("version", call.context.options.boot.version).end_object();
    json.field("instructions", kInstructions);
}

// Tools and resources never change while the program runs.
void write_cache_hints(JsonWriter& json) {
    json.field("ttlMs", 300'000).field("cacheScope", std::string_view("public"));
}

std::string initialize(const Call& call, const Rpc& rpc) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    json.field("protocolVersion",
               is_legacy(rpc.version) ? std::string_view(rpc.version) : kLegacy.front());
    write_server(json, call);
    json.end_object();
    return out;
}

std::string discover(const Call& call) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("resultType", std::string_view("complete"));
    json.key("supportedVersions").begin_array().string(kModern);
    for (const std::string_view version : kLegacy)
        json.string(version);
    json.end_array();
    write_server(json, call);
    write_cache_hints(json);
    json.end_object();
    return out;
}

std::string list_tools(bool is_modern) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (is_modern) json.field("resultType", std::string_view("complete"));
    json.key("tools").begin_array();
    for (const McpTool& tool : mcp_tools()) {
        json.begin_object().field("name", tool.name).field("title", tool.title);
        json.field("description", tool.description);
        json.key("inputSchema").raw(tool.input_schema);
        json.key("annotations").begin_object().field("readOnlyHint", true);
        json.field("destructiveHint", false).field("idempotentHint", true);
        json.field("openWorldHint", false).end_object().end_object();
    }
    json.end_array();
    if (is_modern) write_cache_hints(json);
    json.end_object();
    return out;
}

std::string list_resources(bool is_modern) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (is_modern) json.field("resultType", std::string_view("complete"));
    json.key("resources").begin_array();
    for (const McpDocument& document : mcp_documents()) {
        json.begin_object().field("uri", document.uri).field("name", document.name);
        json.field("title", document.title).field("description", document.description);
        json.field("mimeType", std::string_view("text/markdown"));
        json.field("size", document.text.size()).end_object();
    }
    json.end_array();
    if (is_modern) write_cache_hints(json);
    json.end_object();
    return out;
}

// There are none; clients ask all the same.
std::string list_resource_templates(bool is_modern) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (is_modern) json.field("resultType", std::string_view("complete"));
    json.key("resourceTemplates").begin_array().end_array();
    if (is_modern) write_cache_hints(json);
    json.end_object();
    return out;
}

http::Response read_resource(const Rpc& rpc) {
    const auto documents = mcp_documents();
    const auto found = std::find_if(documents.begin(), documents.end(),
                                    [&](const auto& one) { return one.uri == rpc.uri; });
    if (found == documents.end())
        return error_response(rpc.id, {200,
                                       rpc.has_meta_version ? kInvalidParams : kLegacyNoResource,
                                       "Resource not found: " + rpc.uri.substr(0, 100),
                                       {}});
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (rpc.has_meta_version) json.field("resultType", std::string_view("complete"));
    json.key("contents").begin_array().begin_object().field("uri", found->uri);
    json.field("mimeType", std::string_view("text/markdown")).field("text", found->text);
    json.end_object().end_array();
    if (rpc.has_meta_version) write_cache_hints(json);
    json.end_object();
    return result_response(rpc.id, out);
}

// A tool's failure is a result that the model reads.
std::string tool_result(const Result<std::string>& outcome, bool is_modern) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    if (is_modern) json.field("resultType", std::string_view("complete"));
    json.key("content").begin_array().begin_object();
    json.field("type", std::string_view("text"));
    json.field("text", outcome ? *outcome : outcome.error().message);
    json.end_object().end_array().field("isError", !outcome.has_value()).end_object();
    return out;
}

http::Response call_tool(const Call& call, const Rpc& rpc) {
    for (const McpTool& tool : mcp_tools()) {
        if (tool.name == rpc.name)
            return result_response(
                rpc.id, tool_result(tool.run(call, rpc.arguments), rpc.has_meta_version));
    }
    return error_response(rpc.id,
                          {200, kInvalidParams, "Unknown tool: " + rpc.name.substr(0, 100), {}});
}

Result<http::Response> post(Call& call) {
    TRY_ASSIGN(const Blob body, call.body());
    const auto rpc = read_message(body.view());
    if (!rpc) return error_response({}, rpc.error());
    if (const auto error = check_headers(call.request, *rpc))
        return error_response(rpc->id, *error);
    if (rpc->id.empty()) {
        http::Response accepted;
        accepted.status = 202;
        return accepted;
    }
    if (rpc->method == "server/discover") return result_response(rpc->id, discover(call));
    if (rpc->method == "initialize") return result_response(rpc->id, initialize(call, *rpc));
    if (rpc->method == "ping") return result_response(rpc->id, "{}");
    if (rpc->method == "tools/list")
        return result_response(rpc->id, list_tools(rpc->has_meta_version));
    if (rpc->method == "tools/call") return call_tool(call, *rpc);
    if (rpc->method == "resources/list")
        return result_response(rpc->id, list_resources(rpc->has_meta_version));
    if (rpc->method == "resources/templates/list")
        return result_response(rpc->id, list_resource_templates(rpc->has_meta_version));
    if (rpc->method == "resources/read") return read_resource(*rpc);
    // Older clients take a 404 for a lost session.
    return error_response(rpc->id, {rpc->has_meta_version ? 404 : 200,
                                    kMethodNotFound,
                                    "Method not found: " + rpc->method.substr(0, 100),
                                    {}});
}

}  // namespace

void add_mcp(Router& router) {
    // GET and DELETE belong to sessions, which there are none of: the router answers 405.
    router.add(Family::kMcp, "POST", "/api/mcp", post);
}

}  // namespace spanloom::api
