#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

#include "spanloom/context.h"
#include "spanloom/propagator.h"
#include "spanloom/span.h"
#include "spanloom/tracer.h"

// Spans of HTTP servers and clients by the stable semantic conventions, for any library: the ones
// for Boost.Beast, cpp-httplib and libcurl (beside this header) are thin layers over it.
namespace spanloom {

// What a server knows when a request arrives. Views, for the length of the call.
struct HttpServerRequest {
    std::string_view method;            // as it came
    std::string_view target;            // as it came: "/users/7?full=1"
    std::string_view scheme = "http";   // of this connection
    std::string_view protocol_version;  // "1.0", "1.1", "2"
    std::string_view peer_address;
    uint16_t peer_port = 0;
    // Whether the caller's trace goes on, or a new one begins that links to it.
    IncomingContext incoming = IncomingContext::kConfigured;
};

// What a client knows before it sends.
struct HttpClientRequest {
    std::string_view method;
    std::string_view url;           // absolute; credentials and signatures in it are not recorded
    std::string_view url_template;  // "/users/{id}", where there is one: goes into the name
    uint32_t resend_count = 0;      // of this request: 1 for the first try after the first
};

// The span of one request a server answers, continuing the trace of its caller (or, where callers
// are not trusted, beginning a new one: HttpServerRequest::incoming). It is named by
// method and route ("GET /users/{id}"), never by the path. Ends where it is destroyed; where
// `finish` was not called before, the request counts as failed. One thread at a time.
class HttpServerSpan {
  public:
    HttpServerSpan() noexcept = default;
    HttpServerSpan(const Tracer& tracer, const HttpServerRequest& request,
                   const TextMapGetter& headers) noexcept;
    HttpServerSpan(HttpServerSpan&& other) noexcept = default;
    HttpServerSpan& operator=(HttpServerSpan&& other) noexcept;
    ~HttpServerSpan();

    // The template that matched: "/users/{id}".
    void set_route(std::string_view route) noexcept;
    // The handler threw: its type becomes error.type.
    void set_exception(const std::exception& exception) noexcept;
    // The answer is sent. 500 and above are errors of the server, 400 to 499 are not.
    void finish(int status_code) noexcept;
    // It could not be sent. The reason is one of few words, such as "connection_reset".
    void fail(std::string_view error_type) noexcept;

    Span& span() noexcept { return span_; }
    // With this span and the caller's baggage: for the handler.
    const Context& context() const noexcept { return context_; }

  private:
    void end() noexcept;

    Span span_;
    Context context_;
    std::string_view method_;  // a constant
    std::string error_type_;
};

// The span of one request a client sends. Ends where it is destroyed; where neither `finish` nor
// `fail` was called before, the request counts as failed. One thread at a time.
class HttpClientSpan {
  public:
    HttpClientSpan() noexcept = default;
    HttpClientSpan(const Tracer& tracer, const HttpClientRequest& request) noexcept;
    HttpClientSpan(HttpClientSpan&& other) noexcept = default;
    HttpClientSpan& operator=(HttpClientSpan&& other) noexcept;
    ~HttpClientSpan();

    // Writes the headers by which the server continues this trace.
    void inject(TextMapSetter& headers) const noexcept;
    void set_peer(std::string_view address, uint16_t port) noexcept;
    // 400 and above are errors.
    void finish(int status_code, std::string_view protocol_version = {}) noexcept;
    // No answer. The reason is one of few words, such as "timeout".
    void fail(std::string_view error_type, std::string_view description = {}) noexcept;

    Span& span() noexcept { return span_; }
    const Context& context() const noexcept { return context_; }

  private:
    Span span_;
    Context context_;
};

// A URL or a query without credentials and signatures: user, password, and the values of
// parameters that sign or authorise (sig, Signature, AWSAccessKeyId, X-Amz-*, X-Goog-Signature,
// token, password, api_key and the like) become REDACTED.
std::string redact_url(std::string_view url);
std::string redact_query(std::string_view query);

}  // namespace spanloom
