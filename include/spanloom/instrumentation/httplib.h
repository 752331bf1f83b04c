#pragma once

// cpp-httplib, servers and clients. Header-only, because httplib's classes depend on its macros.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <httplib.h>

#include "spanloom/flow.h"
#include "spanloom/instrumentation/http.h"

namespace spanloom {

class HttplibHeaders : public TextMapGetter {
  public:
    explicit HttplibHeaders(const ::httplib::Headers& headers) noexcept : headers_(&headers) {}
    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        const auto found = headers_->find(std::string(name));
        if (found == headers_->end()) return std::nullopt;
        return found->second;
    }
    void for_each_value(std::string_view name,
                        FunctionRef<void(std::string_view)> visit) const noexcept override {
        const auto range = headers_->equal_range(std::string(name));
        for (auto at = range.first; at != range.second; ++at)
            visit(at->second);
    }
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& header : *headers_)
            visit(header.first);
    }

  private:
    const ::httplib::Headers* headers_;
};

class HttplibHeaderWriter : public TextMapSetter {
  public:
    explicit HttplibHeaderWriter(::httplib::Headers& headers) noexcept : headers_(&headers) {}
    void set(std::string_view name, std::string_view value) noexcept override {
        try {
            const std::string key(name);
            headers_->erase(key);
            headers_->emplace(key, std::string(value));
        } catch (...) {  // out of memory: the request goes without it
        }
    }

  private:
    ::httplib::Headers* headers_;
};

// An httplib::Server whose requests are spans, with the handlers running in their context. The
// pattern of a handler is its route; where that is a regular expression, a readable name for it can
// be given: `server.Get("/users/(\\d+)", "/users/{id}", handler)`.
//
// Handlers for content readers, files and unmatched paths get their span, too, without a route.
template <typename Base>
class BasicHttplibServer : public Base {
    using Handler = typename Base::Handler;
    using HandlerWithResponse = typename Base::HandlerWithResponse;
    using HandlerResponse = typename Base::HandlerResponse;

  public:
    // What follows the tracer goes to httplib's own server.
    template <typename... Args>
    explicit BasicHttplibServer(Tracer tracer, Args&&... args)
        : Base(std::forward<Args>(args)...), tracer_(tracer) {
        Base::set_pre_routing_handler(
            [this](const ::httplib::Request& request, ::httplib::Response& response) {
                begin(request);
                return before_ ? before_(request, response) : HandlerResponse::Unhandled;
            });
        Base::set_logger(
            [this](const ::httplib::Request& request, const ::httplib::Response& response) {
                if (logger_) logger_(request, response);
                end(response);
            });
    }

#define SPANLOOM_HTTPLIB_METHOD(Method)                                              \
    BasicHttplibServer& Method(const std::string& pattern, const std::string& route, \
                               Handler handler) {                                    \
        Base::Method(pattern, with_route(route, std::move(handler)));                \
        return *this;                                                                \
    }                                                                                \
    BasicHttplibServer& Method(const std::string& pattern, Handler handler) {        \
        return Method(pattern, pattern, std::move(handler));                         \
    }
    SPANLOOM_HTTPLIB_METHOD(Get)
    SPANLOOM_HTTPLIB_METHOD(Post)
    SPANLOOM_HTTPLIB_METHOD(Put)
    SPANLOOM_HTTPLIB_METHOD(Patch)
    SPANLOOM_HTTPLIB_METHOD(Delete)
    SPANLOOM_HTTPLIB_METHOD(Options)
#undef SPANLOOM_HTTPLIB_METHOD

    BasicHttplibServer& set_pre_routing_handler(HandlerWithResponse handler) {
        before_ = std::move(handler);
        return *this;
    }
    BasicHttplibServer& set_logger(::httplib::Logger logger) {
        logger_ = std::move(logger);
        return *this;
    }

    // Whether callers' traces go on, or new ones begin that link to them. Before it listens.
    BasicHttplibServer& set_incoming_context(IncomingContext incoming) {
        incoming_ = incoming;
        return *this;
    }

    // Of the request this thread answers; null outside of one.
    static HttpServerSpan* current_span() noexcept {
        return running().has_value() ? &running()->span : nullptr;
    }

  private:
    // httplib answers a request on one thread, from the first handler to the logger.
    struct Running {
        explicit Running(HttpServerSpan started)
            : span(std::move(started)), scope(span.context()) {}
        HttpServerSpan span;
        FlowScope scope;
    };
    static std::optional<Running>& running() noexcept {
        static thread_local std::optional<Running> slot;
        return slot;
    }

    void begin(const ::httplib::Request& request) {
        HttpServerRequest described;
        described.method = request.method;
        described.target = request.target;
        described.scheme = std::is_same<Base, ::httplib::Server>::value ? "http" : "https";
        described.protocol_version = request.version == "HTTP/1.0" ? "1.0" : "1.1";
        described.peer_address = request.remote_addr;
        described.peer_port = static_cast<uint16_t>(request.remote_port);
        described.incoming = incoming_;
        running().reset();  // of a request whose answer could not be written
        running().emplace(HttpServerSpan(tracer_, described, HttplibHeaders(request.headers)));
    }
    static void end(const ::httplib::Response& response) {
        if (!running().has_value()) return;
        running()->span.finish(response.status);
        running().reset();
    }

    static Handler with_route(std::string route, Handler handler) {
        return [route = std::move(route), handler = std::move(handler)](
                   const ::httplib::Request& request, ::httplib::Response& response) {
            HttpServerSpan* const span = current_span();
            if (span == nullptr) return handler(request, response);
            span->set_route(route);
            try {
                handler(request, response);
            } catch (const std::exception& exception) {
                span->set_exception(exception);
                throw;
            }
        };
    }

    Tracer tracer_;
    IncomingContext incoming_ = IncomingContext::kConfigured;
    HandlerWithResponse before_;
    ::httplib::Logger logger_;
};

using HttplibServer = BasicHttplibServer<::httplib::Server>;
#if defined(CPPHTTPLIB_OPENSSL_SUPPORT)
using HttplibSslServer = BasicHttplibServer<::httplib::SSLServer>;
#endif

// An httplib::Client whose requests are spans and carry the trace on. What is not here (streams,
// forms) goes through `send`.
class HttplibClient : public ::httplib::Client {
  public:
    HttplibClient(Tracer tracer, const std::string& origin)
        : ::httplib::Client(origin),
          tracer_(tracer),
          origin_(origin.find("://") == std::string::npos ? "http://" + origin : origin) {}
    HttplibClient(Tracer tracer, const std::string& host, int port)
        : ::httplib::Client(host, port),
          tracer_(tracer),
          origin_("http://" + host + ":" + std::to_string(port)) {}

    ::httplib::Result Get(const std::string& path, ::httplib::Headers headers = {}) {
        return send("GET", path, std::move(headers));
    }
    ::httplib::Result Head(const std::string& path, ::httplib::Headers headers = {}) {
        return send("HEAD", path, std::move(headers));
    }
    ::httplib::Result Options(const std::string& path, ::httplib::Headers headers = {}) {
        return send("OPTIONS", path, std::move(headers));
    }
    ::httplib::Result Delete(const std::string& path, ::httplib::Headers headers = {}) {
        return send("DELETE", path, std::move(headers));
    }
    ::httplib::Result Post(const std::string& path, const std::string& body,
                           const std::string& content_type, ::httplib::Headers headers = {}) {
        return send("POST", path, std::move(headers), body, content_type);
    }
    ::httplib::Result Put(const std::string& path, const std::string& body,
                          const std::string& content_type, ::httplib::Headers headers = {}) {
        return send("PUT", path, std::move(headers), body, content_type);
    }
    ::httplib::Result Patch(const std::string& path, const std::string& body,
                            const std::string& content_type, ::httplib::Headers headers = {}) {
        return send("PATCH", path, std::move(headers), body, content_type);
    }

    ::httplib::Result send(::httplib::Request request) {
        const std::string url = origin_ + request.path;
        HttpClientRequest described;
        described.method = request.method;
        described.url = url;
        HttpClientSpan span(tracer_, described);
        HttplibHeaderWriter headers(request.headers);
        span.inject(headers);
        ::httplib::Result result = ::httplib::Client::send(request);
        if (result)
            span.finish(result->status, result->version == "HTTP/1.0" ? "1.0" : "1.1");
        else
            span.fail(error_type(result.error()));
        return result;
    }

  private:
    ::httplib::Result send(const char* method, const std::string& path, ::httplib::Headers headers,
                           const std::string& body = {}, const std::string& content_type = {}) {
        ::httplib::Request request;
        request.method = method;
        request.path = path;
        request.headers = std::move(headers);
        request.body = body;
        if (!content_type.empty()) request.set_header("Content-Type", content_type);
        return send(std::move(request));
    }

    static const char* error_type(::httplib::Error error) noexcept {
        switch (error) {
            case ::httplib::Error::Connection:
                return "connection_failed";
            case ::httplib::Error::ConnectionTimeout:
                return "connection_timeout";
            case ::httplib::Error::Read:
                return "read_failed";
            case ::httplib::Error::Write:
                return "write_failed";
            case ::httplib::Error::ExceedRedirectCount:
                return "too_many_redirects";
            case ::httplib::Error::Canceled:
                return "canceled";
            case ::httplib::Error::SSLConnection:
                return "tls_connection_failed";
            case ::httplib::Error::SSLLoadingCerts:
                return "tls_certificates_not_loaded";
            case ::httplib::Error::SSLServerVerification:
                return "tls_certificate_invalid";
            default:
                return "_OTHER";
        }
    }

    Tracer tracer_;
    std::string origin_;
};

}  // namespace spanloom
