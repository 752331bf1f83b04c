#include "api/api.h"

#include <exception>
#include <utility>

#include "api/admin.h"
#include "api/call.h"
#include "api/explain.h"
#include "api/forward.h"
#include "api/head_sampling.h"
#include "api/jaeger.h"
#include "api/jaeger_ui.h"
#include "api/keep.h"
#include "api/mcp.h"
#include "api/own_state.h"
#include "api/prometheus.h"
#include "api/red_exposition.h"
#include "api/router.h"
#include "api/tempo.h"
#include "api/ui.h"
#include "api/zipkin.h"
#include "base/log.h"
#include "http/compression.h"

namespace spanloom::api {
namespace {

// Smaller answers fit into a packet or two as they are.
constexpr size_t kCompressBytesMin = 1400;
constexpr int kGzipLevel = 4;  // two thirds of level 6's time for a few percent more bytes

std::string face_name(Face face) {
    if (face == Face::kTempo) return "tempo";
    if (face == Face::kSampling) return "sampling";
    return face == Face::kZipkin ? "zipkin" : "all";
}

bool is_loopback(std::string_view peer) {
    return peer.starts_with("127.") || peer.starts_with("[::1]") || peer.starts_with("::1");
}

std::string_view host_name(std::string_view host) {
    if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
    return host.substr(0, host.find(':'));
}

// Names that only this machine or its own network can give: no page from outside can have them.
bool is_private_name(std::string_view name) {
    if (name.starts_with('[')) return true;
    if (name.find_first_not_of("0123456789.") == std::string_view::npos) return true;
    return name.find('.') == std::string_view::npos || name.ends_with(".localhost");
}

// A page whose name was made to point at this machine (DNS rebinding) reaches us from loopback with
// a name that is not ours, whatever the method.
Result<void> check_host(const http::Request& request, const std::vector<std::string>& host_names) {
    const std::string_view name = host_name(request.headers.get("host"));
    if (!is_loopback(request.peer) || is_private_name(name)) return {};
    for (const std::string& known : host_names) {
        if (known == name) return {};
    }
    return fail(ErrorCode::kPermissionDenied,
                "\"{}\" is not a name of this server: add it to listen.host_names if it is one",
                name.substr(0, 100));
}

// Browsers say which page a POST comes from; those of other origins are refused.
Result<void> check_origin(const http::Request& request) {
    if (request.method != "POST" && request.method != "PUT" && request.method != "DELETE")
        return {};
    const std::string_view site = request.headers.get("sec-fetch-site");
    const std::string_view origin = request.headers.get("origin");
    const std::string_view host = request.headers.get("host");
    const size_t scheme = origin.find("://");
    const bool is_own = origin.empty() || (scheme != std::string_view::npos && !host.empty() &&
                                           origin.substr(scheme + 3) == host);
    if (site == "cross-site" || site == "same-site" || !is_own)
        return fail(ErrorCode::kPermissionDenied,
                    "requests from pages of other origins are refused: a proxy that serves the "
                    "page has to pass on the Host that browsers send");
    return {};
}

Result<void> check_browser(const http::Request& request,
                           const std::vector<std::string>& host_names) {
    TRY(check_host(request, host_names));
    return check_origin(request);
}

void compress(const http::Request& request, http::Response& response) {
    const bool is_plain = !response.body.empty() && response.shared_body.empty() &&
                          response.body.size() >= kCompressBytesMin &&
                          !response.headers.has("content-encoding");
    if (!is_plain) return;
    response.headers.add("vary", "accept-encoding");
    if (request.headers.get("accept-encoding").find("gzip") == std::string_view::npos) return;
    auto packed = http::compress_gzip(response.body, kGzipLevel);
    if (!packed || packed->size() >= response.body.size()) return;
    response.body = std::move(*packed);
    response.headers.add("content-encoding", "gzip");
}

// Turns requests into calls and answers into replies.
class Api : public std::enable_shared_from_this<Api> {
  public:
    explicit Api(ApiOptions options) : context_(std::move(options)) {
        add_own_state(router_);
        add_admin(router_);
        add_keep(router_);
        add_head_sampling(router_);
        add_forward(router_);
        add_ui(router_);
        add_jaeger(router_);
        add_tempo(router_);
        add_tempo_streams(router_);
        add_zipkin(router_);
        add_prometheus(router_);
        add_red_exposition(router_);
        add_mcp(router_);
        add_explain(router_);
        context_.options.metrics.gauge(
            "queries_waiting", "Questions queued or being answered.",
            [waiting = context_.waiting] { return static_cast<double>(waiting->load()); },
            {{"face", face_name(context_.options.face)}});
        if (const auto& ui = context_.options.jaeger_ui)
            context_.options.metrics.gauge("jaeger_ui_bytes", "Memory of Jaeger's UI.",
                                           [ui] { return static_cast<double>(ui->bytes()); });
    }

    void handle(http::Request request, std::shared_ptr<http::Responder> responder) {
        Router::Match match = router_.find(request, context_.options.face);
        if (match.route == nullptr) return send(*responder, unknown(request, match));
        const uint64_t id = context_.next_request_id.fetch_add(1);
        if (const auto allowed = check_browser(request, context_.options.host_names); !allowed)
            return send(*responder, error_reply(match.family, allowed.error(), id));
        auto call = make_call(std::move(request), std::move(match.captures), id);
        if (match.route->place == Place::kIoThread)
            return send(*responder, answer(*match.route, *call));
        enqueue(*match.route, std::move(call), std::move(responder));
    }

  private:
    static void send(http::Responder& responder, http::Response response) {
        add_security_headers(response);
        responder.send(std::move(response));
    }

    http::Response unknown(const http::Request& request, const Router::Match& match) {
        if (match.family == Family::kGrpc)
            return error_reply(
                match.family,
                {ErrorCode::kUnsupported, "unknown method " + request.path.substr(0, 200), 0}, 0);
        if (!match.methods.empty()) {
            http::Response response = error_reply(
                match.family,
                {ErrorCode::kInvalidArgument, "this address takes " + match.methods, 0}, 0);
            response.status = 405;
            response.headers.add("allow", match.methods);
            return response;
        }
        const bool reads = request.method == "GET" || request.method == "HEAD";
        const bool is_page =
            context_.options.face == Face::kAll && reads && !request.path.starts_with("/api");
        if (is_page) {
            auto file = context_.files.answer(request);
            if (!file && context_.options.jaeger_ui)
                file = context_.options.jaeger_ui->answer(request);
            if (file) return std::move(*file);
        }
        if (request.path == "/" && reads)
            return text_reply("spanloom: the query APIs are on this port\n");
        return error_reply(
            match.family,
            {ErrorCode::kNotFound, "there is nothing at " + request.path.substr(0, 200), 0}, 0);
    }

    std::shared_ptr<Call> make_call(http::Request request, std::vector<std::string> captures,
                                    uint64_t id) {
        http::Query query = request.query();
        const uint64_t now = context_.options.clock.monotonic_ns();
        const uint64_t deadline = now + uint64_t{context_.options.limits.deadline_ms} * 1'000'000;
        return std::make_shared<Call>(Call{context_, std::move(request), std::move(query),
                                           std::move(captures), now, deadline, id});
    }

    void enqueue(const Route& route, std::shared_ptr<Call> call,
                 std::shared_ptr<http::Responder> responder) {
        if (context_.waiting->fetch_add(1) >= context_.options.limits.waiting_max) {
            context_.waiting->fetch_sub(1);
            context_.refused.add();
            Error error{ErrorCode::kResourceExhausted,
                        "too many questions are waiting for an answer: ask again in a second", 1};
            http::Response response = error_reply(route.family, error, call->request_id);
            if (route.family != Family::kGrpc) response.status = 429;
            return send(*responder, std::move(response));
        }
        // The route lives in the router, which lives as long as this object.
        context_.options.queries.post([self = shared_from_this(), &route, call = std::move(call),
                                       responder = std::move(responder)] {
            if (call->request.cancelled.stop_requested()) {
                // Nobody waits for it any more.
            } else if (route.stream) {
                self->answer_stream(route, *call, responder);
            } else {
                send(*responder, self->answer(route, *call));
            }
            self->context_.waiting->fetch_sub(1);
        });
    }

    void answer_stream(const Route& route, Call& call,
                       const std::shared_ptr<http::Responder>& responder) {
        context_.asked.add();
        GrpcStream stream(responder);
        Result<void> outcome = fail(ErrorCode::kInternal, "no answer");
        try {
            const auto message =
                grpc_request_message(call.request, context_.options.limits.body_bytes_max);
            outcome = message ? route.stream(call, message->view(), stream)
                              : tl::unexpected(message.error());
        } catch (const std::exception& thrown) {
            outcome =
                fail(ErrorCode::kInternal, "the call could not be answered: {}", thrown.what());
        }
        if (!outcome && outcome.error().code == ErrorCode::kInternal) {
            context_.failed.add();
            log::warning("{} failed: {}", route.pattern, outcome.error().message);
        }
        stream.finish(outcome);
    }

    http::Response answer(const Route& route, Call& call) {
        context_.asked.add();
        Result<http::Response> result = fail(ErrorCode::kInternal, "no answer");
        try {
            result = route.answer(call);
        } catch (const std::exception& thrown) {
            // Out of memory, most likely: this question fails, the server stays.
            result =
                fail(ErrorCode::kInternal, "the question could not be answered: {}", thrown.what());
        }
        http::Response response = result
                                      ? std::move(*result)
                                      : error_reply(route.family, result.error(), call.request_id);
        if (response.status >= 500 && response.status != 503) {
            context_.failed.add();
            if (!result)
                log::warning("{} {} failed: {}", route.method, route.pattern,
                             result.error().message);
        }
        compress(call.request, response);
        return response;
    }

    Context context_;
    Router router_;
};

}  // namespace

http::Handler make_api(ApiOptions options) {
    auto api = std::make_shared<Api>(std::move(options));
    return [api](http::Request request, std::shared_ptr<http::Responder> responder) {
        api->handle(std::move(request), std::move(responder));
    };
}

}  // namespace spanloom::api
