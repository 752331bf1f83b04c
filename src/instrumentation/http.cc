#include "spanloom/instrumentation/http.h"

#include <array>
#include <charconv>

#include "instrumentation/exception_name.h"
#include "instrumentation/http_parts.h"

namespace spanloom {
namespace {

using instrumentation::HostPort;

// As many attributes as a request has at its start; samplers see them all.
class StartAttributes {
  public:
    void add(std::string_view key, const AttributeValue& value) {
        if (size_ < attributes_.size()) {
            attributes_[size_++] = {key, value};
        }
    }
    void add_text(std::string_view key, std::string_view value) {
        if (!value.empty()) {
            add(key, value);
        }
    }
    void add_port(std::string_view key, uint16_t port) {
        if (port != 0) {
            add(key, port);
        }
    }
    void add_method(std::string_view method, std::string_view original) {
        add("http.request.method", method);
        if (method != original) {
            add("http.request.method_original", original);
        }
    }
    AttributeList list() const { return {attributes_.data(), size_}; }

  private:
    std::array<Attribute, 16> attributes_{};
    size_t size_ = 0;
};

std::string_view method_in_name(std::string_view method) {
    return method == "_OTHER" ? std::string_view("HTTP") : method;
}

std::string name_of(std::string_view method, std::string_view target) {
    std::string name(method_in_name(method));
    if (!target.empty()) {
        name += ' ';
        name += target;
    }
    return name;
}

void set_status_code(Span& span, int status_code, int error_from, std::string_view error_type) {
    span.set_attribute("http.response.status_code", status_code);
    if (status_code >= error_from || status_code < 100) {
        std::array<char, 12> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), status_code);
        const std::string_view code(digits.data(), static_cast<size_t>(end.ptr - digits.data()));
        span.set_attribute("error.type", error_type.empty() ? code : error_type);
        span.set_status(StatusCode::kError);  // the code says it all: no description
    } else if (!error_type.empty()) {
        span.set_attribute("error.type", error_type);
        span.set_status(StatusCode::kError);
    }
}

}  // namespace

HttpServerSpan::HttpServerSpan(const Tracer& tracer, const HttpServerRequest& request,
                               const TextMapGetter& headers) noexcept {
    const IncomingParent parent = extract_incoming(headers, request.incoming);
    context_ = parent.context;
    method_ = instrumentation::known_method(request.method);
    const auto forwarded = instrumentation::read_forwarded(headers);
    const HostPort server = instrumentation::parse_authority(forwarded.host);
    const std::string_view scheme = forwarded.scheme.empty() ? request.scheme : forwarded.scheme;
    const std::string_view target = request.target.substr(0, request.target.find('#'));
    const size_t question = target.find('?');

    StartAttributes attributes;
    attributes.add_method(method_, request.method);
    attributes.add("url.path", target.substr(0, question));
    std::string query;
    if (question != std::string_view::npos) {
        query = redact_query(target.substr(question + 1));
        attributes.add_text("url.query", query);
    }
    attributes.add("url.scheme", scheme);
    attributes.add_text("server.address", server.host);
    if (!server.host.empty()) {
        attributes.add_port("server.port",
                            server.port != 0 ? server.port : instrumentation::default_port(scheme));
    }
    attributes.add_text("client.address",
                        forwarded.client.empty() ? request.peer_address : forwarded.client);
    attributes.add_text("network.peer.address", request.peer_address);
    attributes.add_port("network.peer.port", request.peer_port);
    attributes.add_text("network.protocol.version", request.protocol_version);
    attributes.add_text("user_agent.original", headers.get("user-agent").value_or(""));

    SpanOptions options;
    options.kind = SpanKind::kServer;
    options.parent = context_;
    options.attributes = attributes.list();
    const Link link{parent.linked};
    if (parent.linked.is_valid()) {
        options.links = LinkList(&link, 1);
    }
    span_ = tracer.start_span(method_in_name(method_), options);
    context_ = context_.with_span(span_);
}

HttpServerSpan& HttpServerSpan::operator=(HttpServerSpan&& other) noexcept {
    if (this != &other) {
        end();
        span_ = std::move(other.span_);
        context_ = std::move(other.context_);
        method_ = other.method_;
        error_type_ = std::move(other.error_type_);
    }
    return *this;
}

HttpServerSpan::~HttpServerSpan() {
    end();
}

void HttpServerSpan::end() noexcept {
    if (span_.is_recording()) {
        fail(error_type_.empty() ? std::string_view("response_not_sent") : error_type_);
    }
}

void HttpServerSpan::set_route(std::string_view route) noexcept {
    if (span_.is_recording()) {
        span_.set_attribute("http.route", route);
        span_.update_name(name_of(method_, route));
    }
}

void HttpServerSpan::set_exception(const std::exception& exception) noexcept {
    span_.record_exception(exception);
    if (span_.is_recording()) {
        error_type_ = instrumentation::exception_name(exception);
    }
}

void HttpServerSpan::finish(int status_code) noexcept {
    set_status_code(span_, status_code, 500, error_type_);
    span_.end();
}

void HttpServerSpan::fail(std::string_view error_type) noexcept {
    span_.set_attribute("error.type", error_type);
    span_.set_status(StatusCode::kError);
    span_.end();
}

HttpClientSpan::HttpClientSpan(const Tracer& tracer, const HttpClientRequest& request) noexcept {
    const std::string_view method = instrumentation::known_method(request.method);
    const auto url = instrumentation::parse_url(request.url);
    const HostPort server = instrumentation::parse_authority(url.authority);

    StartAttributes attributes;
    attributes.add_method(method, request.method);
    attributes.add("server.address", server.host);
    attributes.add_port("server.port",
                        server.port != 0 ? server.port : instrumentation::default_port(url.scheme));
    const std::string full = redact_url(request.url);
    attributes.add("url.full", full);
    attributes.add_text("url.template", request.url_template);
    if (request.resend_count > 0) {
        attributes.add("http.request.resend_count", request.resend_count);
    }

    SpanOptions options;
    options.kind = SpanKind::kClient;
    options.attributes = attributes.list();
    span_ = tracer.start_span(name_of(method, request.url_template), options);
    context_ = Context::current().with_span(span_);
}

HttpClientSpan& HttpClientSpan::operator=(HttpClientSpan&& other) noexcept {
    if (this != &other) {
        fail("response_not_received");
        span_ = std::move(other.span_);
        context_ = std::move(other.context_);
    }
    return *this;
}

HttpClientSpan::~HttpClientSpan() {
    fail("response_not_received");
}

void HttpClientSpan::inject(TextMapSetter& headers) const noexcept {
    global_propagator().inject(context_, headers);
}

void HttpClientSpan::set_peer(std::string_view address, uint16_t port) noexcept {
    span_.set_attribute("network.peer.address", address);
    span_.set_attribute("network.peer.port", port);
}

void HttpClientSpan::finish(int status_code, std::string_view protocol_version) noexcept {
    if (!protocol_version.empty()) {
        span_.set_attribute("network.protocol.version", protocol_version);
    }
    set_status_code(span_, status_code, 400, {});
    span_.end();
}

void HttpClientSpan::fail(std::string_view error_type, std::string_view description) noexcept {
    span_.set_attribute("error.type", error_type);
    span_.set_status(StatusCode::kError, description);
    span_.end();
}

}  // namespace spanloom
