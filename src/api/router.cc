#include "api/router.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace spanloom::api {
namespace {

// No address of ours has more; longer ones are unknown.
constexpr size_t kPartsMax = 16;

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> parts;
    while (path.starts_with('/') && parts.size() <= kPartsMax) {
        path.remove_prefix(1);
        const size_t end = std::min(path.find('/'), path.size());
        parts.push_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    // "/api/services/" is "/api/services".
    if (parts.size() > 1 && parts.back().empty()) parts.pop_back();
    return parts;
}

bool is_jaeger(Family family) {
    return family == Family::kJaeger || family == Family::kJaeger3;
}

enum class Prefix : uint8_t { kNone, kJaeger, kTempo, kZipkin, kPrometheus };

Prefix prefix_of(std::string_view part) {
    if (part == "jaeger") return Prefix::kJaeger;
    if (part == "tempo") return Prefix::kTempo;
    if (part == "zipkin") return Prefix::kZipkin;
    return part == "prometheus" ? Prefix::kPrometheus : Prefix::kNone;
}

bool is_allowed(const Route& route, Prefix prefix, Face face) {
    if (face == Face::kTempo && route.family != Family::kTempo && route.family != Family::kOwn &&
        route.family != Family::kGrpc)
        return false;
    if (face == Face::kZipkin && route.family != Family::kZipkin && route.family != Family::kOwn)
        return false;
    if (face == Face::kSampling && route.family != Family::kSampling &&
        route.family != Family::kOwn && route.family != Family::kGrpc)
        return false;
    switch (prefix) {
        case Prefix::kJaeger:
            return is_jaeger(route.family);
        case Prefix::kTempo:
            return route.family == Family::kTempo;
        case Prefix::kZipkin:
            return route.family == Family::kZipkin;
        case Prefix::kPrometheus:
            return route.family == Family::kPrometheus;
        case Prefix::kNone:
            break;
    }
    return !route.only_with_prefix || face != Face::kAll;
}

bool fits(const Route& route, const std::vector<std::string_view>& parts,
          std::vector<std::string>& captures) {
    if (route.parts.size() != parts.size()) return false;
    captures.clear();
    for (size_t i = 0; i < parts.size(); ++i) {
        if (route.parts[i] == "{}") {
            if (parts[i].empty()) return false;
            captures.push_back(decode_percent(parts[i], false));
        } else if (route.parts[i] != parts[i]) {
            return false;
        }
    }
    return true;
}

// Unknown addresses below /api are answered in the form of whoever seems to ask.
Family family_of_unknown(const std::vector<std::string_view>& parts, Prefix prefix) {
    if (prefix == Prefix::kTempo) return Family::kTempo;
    if (prefix == Prefix::kZipkin) return Family::kZipkin;
    if (prefix == Prefix::kJaeger) return Family::kJaeger;
    if (prefix == Prefix::kPrometheus) return Family::kPrometheus;
    if (parts.size() < 2 || parts[0] != "api") return Family::kOwn;
    if (parts[1] == "ui") return Family::kUi;
    if (parts[1] == "v3") return Family::kJaeger3;
    return Family::kJaeger;
}

std::string jaeger_body(int status, std::string_view message) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("data").null().field("total", 0).field("limit", 0).field("offset", 0);
    json.key("errors").begin_array().begin_object();
    json.field("code", status).field("msg", message);
    json.end_object().end_array().end_object();
    return out;
}

// Prometheus's words for what went wrong, and its statuses.
std::string_view prometheus_error_type(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument:
            return "bad_data";
        case ErrorCode::kUnsupported:
        case ErrorCode::kResourceExhausted:
            return "execution";
        case ErrorCode::kCancelled:
            return "canceled";
        case ErrorCode::kDeadlineExceeded:
            return "timeout";
        case ErrorCode::kUnavailable:
            return "unavailable";
        case ErrorCode::kNotFound:
            return "not_found";
        default:
            return "internal";
    }
}

int prometheus_status(ErrorCode code) {
    if (code == ErrorCode::kUnsupported || code == ErrorCode::kResourceExhausted) return 422;
    if (code == ErrorCode::kDeadlineExceeded || code == ErrorCode::kCancelled) return 503;
    return http_status(code);
}

constexpr int kJsonRpcServerError = -32000;

}  // namespace

Route& Router::add(Family family, std::string method, std::string pattern, Answer answer) {
    Route route;
    route.family = family;
    route.method = std::move(method);
    for (const std::string_view part : split(pattern))
        route.parts.emplace_back(part);
    route.pattern = std::move(pattern);
    route.answer = std::move(answer);
    routes_.push_back(std::move(route));
    return routes_.back();
}

void Router::add_grpc(std::string_view service, std::string_view method, StreamAnswer answer) {
    Route& route =
        add(Family::kGrpc, "POST", "/" + std::string(service) + "/" + std::string(method), nullptr);
    route.stream = std::move(answer);
}

Router::Match Router::find(const http::Request& request, Face face) const {
    std::vector<std::string_view> parts = split(request.path);
    Match match;
    const bool is_grpc = request.is_grpc() && request.is_http2;
    if (is_grpc) match.family = Family::kGrpc;
    if (parts.empty() || parts.size() > kPartsMax) return match;
    const Prefix prefix = prefix_of(parts[0]);
    if (prefix != Prefix::kNone) parts.erase(parts.begin());
    if (!is_grpc) match.family = family_of_unknown(parts, prefix);
    const std::string_view method =
        request.method == "HEAD" ? "GET" : std::string_view(request.method);
    for (const Route& route : routes_) {
        if ((route.family == Family::kGrpc) != is_grpc) continue;
        if (!is_allowed(route, prefix, face)) continue;
        std::vector<std::string> captures;
        if (!fits(route, parts, captures)) continue;
        if (route.method == method) {
            match.route = &route;
            match.family = route.family;
            match.captures = std::move(captures);
            return match;
        }
        match.family = route.family;
        if (!match.methods.empty()) match.methods += ", ";
        match.methods += route.method == "GET" ? "GET, HEAD" : route.method;
    }
    return match;
}

http::Response error_reply(Family family, const Error& error, uint64_t request_id, int status) {
    // A damaged block is our failure; what is understood but not offered is the asker's to change.
    if (status == 0) status = error.code == ErrorCode::kUnsupported ? 400 : http_status(error.code);
    http::Response response;
    std::string out;
    JsonWriter json(out);
    switch (family) {
        case Family::kJaeger:
            response = json_reply(jaeger_body(status, error.message), status);
            break;
        case Family::kJaeger3:
            json.begin_object().key("error").begin_object();
            json.field("httpCode", status).field("message", error.message);
            json.field("grpcCode", grpc_status(error.code));
            json.end_object().end_object();
            response = json_reply(std::move(out), status);
            break;
        case Family::kPrometheus:
            json.begin_object().field("status", std::string_view("error"));
            json.field("errorType", prometheus_error_type(error.code));
            json.field("error", error.message).end_object();
            response = json_reply(std::move(out), prometheus_status(error.code));
            break;
        case Family::kMcp:
            json.begin_object().field("jsonrpc", std::string_view("2.0")).key("id").null();
            json.key("error").begin_object().field("code", kJsonRpcServerError);
            json.field("message", error.message).end_object().end_object();
            response = json_reply(std::move(out), status);
            break;
        case Family::kGrpc:
            return http::grpc_error(grpc_status(error.code), error.message);
        case Family::kUi:
            json.begin_object();
            json.field("code", error_code_name(error.code)).field("message", error.message);
            json.field("hint", std::string_view()).key("pos").null();
            json.field("requestId", std::to_string(request_id)).end_object();
            response = json_reply(std::move(out), status);
            break;
        default:
            response = text_reply(error.message + "\n", status);
            break;
    }
    if (error.retry_after_s != 0)
        response.headers.add("retry-after", std::to_string(error.retry_after_s));
    return response;
}

}  // namespace spanloom::api
