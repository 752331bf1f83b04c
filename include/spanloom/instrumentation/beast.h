#pragma once

// Boost.Beast, servers and clients. Header-only.
#include <string>
#include <string_view>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>

#include "spanloom/instrumentation/http.h"

namespace spanloom {

namespace detail {

inline std::string_view to_std(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}
inline boost::beast::string_view to_beast(std::string_view text) noexcept {
    return {text.data(), text.size()};
}
// Beast's versions are 10 and 11.
inline std::string_view http_version(unsigned version) noexcept {
    return version == 10 ? "1.0" : "1.1";
}

}  // namespace detail

// The headers of a Beast message, for propagators.
template <typename Fields>
class BeastHeaders : public TextMapGetter {
  public:
    explicit BeastHeaders(const Fields& fields) noexcept : fields_(&fields) {}
    std::optional<std::string_view> get(std::string_view name) const noexcept override {
        const auto found = fields_->find(detail::to_beast(name));
        if (found == fields_->end()) return std::nullopt;
        return detail::to_std(found->value());
    }
    void for_each_value(std::string_view name,
                        FunctionRef<void(std::string_view)> visit) const noexcept override {
        const auto range = fields_->equal_range(detail::to_beast(name));
        for (auto at = range.first; at != range.second; ++at)
            visit(detail::to_std(at->value()));
    }
    void for_each_name(FunctionRef<void(std::string_view)> visit) const noexcept override {
        for (const auto& field : *fields_)
            visit(detail::to_std(field.name_string()));
    }

  private:
    const Fields* fields_;
};

template <typename Fields>
class BeastHeaderWriter : public TextMapSetter {
  public:
    explicit BeastHeaderWriter(Fields& fields) noexcept : fields_(&fields) {}
    void set(std::string_view name, std::string_view value) noexcept override {
        try {
            fields_->set(detail::to_beast(name), detail::to_beast(value));
        } catch (...) {  // out of memory: the request goes without it
        }
    }

  private:
    Fields* fields_;
};

// For a request that was read; activate its context() for the handler.
//
//     HttpServerSpan span = start_beast_server_span(tracer, request, socket.remote_endpoint());
//     FlowScope scope(span.context());
//     span.set_route("/users/{id}");
//     ... write(response) ...
//     span.finish(response.result_int());
template <typename Body, typename Fields>
[[nodiscard]] HttpServerSpan start_beast_server_span(
    const Tracer& tracer, const boost::beast::http::request<Body, Fields>& request,
    const boost::asio::ip::tcp::endpoint& peer, std::string_view scheme = "http",
    IncomingContext incoming = IncomingContext::kConfigured) noexcept {
    std::string address;
    try {
        address = peer.address().to_string();
    } catch (...) {  // out of memory: the span goes without it
    }
    HttpServerRequest described;
    described.method = detail::to_std(request.method_string());
    described.target = detail::to_std(request.target());
    described.scheme = scheme;
    described.protocol_version = detail::http_version(request.version());
    described.peer_address = address;
    described.peer_port = peer.port();
    described.incoming = incoming;
    return HttpServerSpan(tracer, described, BeastHeaders<Fields>(request));
}

// For a request that is about to be written; writes the trace's headers into it.
//
//     HttpClientSpan span = start_beast_client_span(tracer, request, "http://example.com:8080");
//     ... write(request), read(response) ...
//     span.finish(response.result_int());      // or fail(error.message()) where nothing came
template <typename Body, typename Fields>
[[nodiscard]] HttpClientSpan start_beast_client_span(
    const Tracer& tracer, boost::beast::http::request<Body, Fields>& request,
    std::string_view origin, std::string_view url_template = {},
    uint32_t resend_count = 0) noexcept {
    std::string url;
    try {
        url.append(origin).append(detail::to_std(request.target()));
    } catch (...) {  // out of memory: the span goes without it
    }
    HttpClientRequest described;
    described.method = detail::to_std(request.method_string());
    described.url = url;
    described.url_template = url_template;
    described.resend_count = resend_count;
    HttpClientSpan span(tracer, described);
    BeastHeaderWriter<Fields> headers(request);
    span.inject(headers);
    return span;
}

template <typename Body, typename Fields>
void finish(HttpServerSpan& span,
            const boost::beast::http::response<Body, Fields>& response) noexcept {
    span.finish(static_cast<int>(response.result_int()));
}

template <typename Body, typename Fields>
void finish(HttpClientSpan& span,
            const boost::beast::http::response<Body, Fields>& response) noexcept {
    span.finish(static_cast<int>(response.result_int()), detail::http_version(response.version()));
}

}  // namespace spanloom
