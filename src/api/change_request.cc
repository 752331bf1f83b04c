#include "api/change_request.h"

#include "base/json_writer.h"
#include "base/text.h"

namespace spanloom::api {

static bool is_loopback(std::string_view peer) {
    return peer.starts_with("127.") || peer.starts_with("[::1]") || peer.starts_with("::1");
}

// Without logins, whoever sits at this machine is who may change things. Pages of other origins
// were refused before; a form cannot send JSON, and a proxy says that it passes something on.
Result<void> check_local(const Call& call) {
    const http::Headers& headers = call.request.headers;
    const bool is_passed_on = headers.has("x-forwarded-for") || headers.has("forwarded");
    if (!is_loopback(call.request.peer) || is_passed_on)
        return fail(ErrorCode::kPermissionDenied,
                    "this is allowed only from the machine that spanloom runs on");
    if (headers.get("sec-fetch-site") == "cross-site")
        return fail(ErrorCode::kPermissionDenied, "this is not allowed from another site's page");
    return {};
}

Result<void> check_admin(const Call& call) {
    TRY(check_local(call));
    const http::Headers& headers = call.request.headers;
    if (!headers.get("content-type").starts_with("application/json"))
        return fail(ErrorCode::kInvalidArgument, "the body must be application/json");
    return {};
}

Result<std::optional<uint64_t>> expected_version(const Call& call) {
    const http::Headers& headers = call.request.headers;
    if (headers.get("if-none-match") == "*") return std::optional<uint64_t>(0);
    std::string_view text = headers.get("if-match");
    if (text.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "say which version is changed: If-Match: \"VERSION\", or If-None-Match: * "
                    "for a new document");
    if (text == "*") return std::optional<uint64_t>();
    if (text.size() > 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
    const auto number = parse_int(text);
    if (!number || *number <= 0)
        return fail(ErrorCode::kInvalidArgument, "If-Match must be \"VERSION\" or *");
    return std::optional<uint64_t>(static_cast<uint64_t>(*number));
}

Result<uint64_t> seen_version(const Call& call) {
    TRY_ASSIGN(const std::optional<uint64_t> expected, expected_version(call));
    if (expected) return *expected;
    return fail(ErrorCode::kInvalidArgument,
                "If-Match must name the version that is replaced, not *");
}

http::Response version_conflict(const Error& error) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("code", "conflict").field("message", error.message).end_object();
    return json_reply(std::move(out), 412);
}

}  // namespace spanloom::api
