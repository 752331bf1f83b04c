#include "spanloom/instrumentation/beast.h"

#include <thread>

#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include "spanloom/asio.h"
#include "spanloom/sampler.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::as_json;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;
namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

// One connection, answered asynchronously by a coroutine.
asio::awaitable<void> serve(Tracer tracer, tcp::socket socket, http::status status) {
    boost::beast::flat_buffer buffer;
    http::request<http::string_body> request;
    co_await http::async_read(socket, buffer, request, asio::use_awaitable);
    HttpServerSpan span = start_beast_server_span(tracer, request, socket.remote_endpoint());
    http::response<http::string_body> response(status, request.version());
    {
        const Scope scope(span.context());
        span.set_route("/users/{id}");
        auto work = tracer.start_span("work");
        response.body() = "ann";
        response.prepare_payload();
        co_await http::async_write(socket, response, asio::use_awaitable);
    }
    finish(span, response);
}

// Sends one request to a server of one answer.
void exchange(RecordedSpans& spans, http::status status, unsigned version = 11) {
    asio::io_context io;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const auto endpoint = acceptor.local_endpoint();
    asio::co_spawn(
        carry_context(io.get_executor()),
        [&]() -> asio::awaitable<void> {
            co_await serve(spans.tracer, co_await acceptor.async_accept(asio::use_awaitable),
                           status);
        },
        asio::detached);
    std::thread server([&] { io.run(); });

    asio::io_context client_io;
    tcp::socket socket(client_io);
    socket.connect(endpoint);
    http::request<http::empty_body> request(http::verb::get, "/users/7?sig=abc", version);
    const std::string host = "127.0.0.1:" + std::to_string(endpoint.port());
    request.set(http::field::host, host);
    HttpClientSpan span =
        start_beast_client_span(spans.tracer, request, "http://" + host, "/users/{id}");
    http::write(socket, request);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    http::read(socket, buffer, response);
    finish(span, response);
    server.join();
}

}  // namespace

TEST_CASE("beast: a server at a public edge decides anew what is sampled") {
    // What begins here is not sampled; what a caller began is as the caller says.
    auto exporter = std::make_shared<InMemoryExporter>();
    ProviderOptions options;
    options.processors = {make_simple_processor(exporter)};
    options.sampler = make_parent_based_sampler({make_always_off_sampler()});
    TracerProvider provider = TracerProvider::create(std::move(options));
    const std::string trace = "0af7651916cd43dd8448eb211c80319c";
    http::request<http::string_body> request(http::verb::get, "/", 11);
    request.set("traceparent", "00-" + trace + "-b7ad6b7169203331-01");
    const tcp::endpoint peer(asio::ip::address_v4::loopback(), 1);
    const auto start = [&](IncomingContext incoming) {
        return start_beast_server_span(provider.get_tracer("test"), request, peer, "http",
                                       incoming);
    };
    {
        HttpServerSpan trusted = start(IncomingContext::kContinue);
        CHECK(trusted.span().is_recording());
        CHECK(trusted.context().span_context().trace_id().hex() == trace);
        trusted.finish(200);
    }
    HttpServerSpan restarted = start(IncomingContext::kRestart);
    CHECK_FALSE(restarted.span().is_recording());
    CHECK(restarted.context().span_context().is_valid());
    CHECK(restarted.context().span_context().trace_id().hex() != trace);
    CHECK_FALSE(restarted.context().span_context().flags().is_sampled());
    CHECK(exporter->spans().size() == 1);
    provider.shutdown(Duration::from_ms(1'000));
}

TEST_CASE("beast: without a caller's context there is nothing to link to") {
    RecordedSpans spans;
    const http::request<http::string_body> request(http::verb::get, "/", 11);
    const tcp::endpoint peer(asio::ip::address_v4::loopback(), 1);
    start_beast_server_span(spans.tracer, request, peer, "http", IncomingContext::kRestart)
        .finish(200);
    REQUIRE(spans.all().size() == 1);
    CHECK(spans.last().links.empty());
}

TEST_CASE("beast: client and server are one trace") {
    RecordedSpans spans;
    exchange(spans, http::status::ok);
    REQUIRE(spans.all().size() == 3);
    for (const auto& span : spans.all()) {
        CHECK(span.trace_id == spans.all()[0].trace_id);
    }
    const auto work = spans.named("work");
    FinishedSpan client;
    FinishedSpan server;
    for (const auto& span : spans.all()) {
        (span.kind == SpanKind::kClient   ? client
         : span.kind == SpanKind::kServer ? server
                                          : client) =
            span.kind == SpanKind::kInternal ? client : span;
    }
    CHECK(client.name == "GET /users/{id}");
    CHECK(client.attribute("url.template") == as_json("/users/{id}"));
    CHECK(client.attribute("url.full").find("/users/7?sig=REDACTED") != std::string::npos);
    CHECK(client.attribute("http.response.status_code") == "200");
    CHECK(server.name == "GET /users/{id}");
    CHECK(is_child(server, client));
    CHECK(is_child(work, server));
    CHECK(server.attribute("url.query") == as_json("sig=REDACTED"));
    CHECK(server.attribute("network.protocol.version") == as_json("1.1"));
}

TEST_CASE("beast: an error of the server is one on both sides") {
    RecordedSpans spans;
    exchange(spans, http::status::bad_gateway, 10);
    for (const auto& span : spans.all()) {
        if (span.kind != SpanKind::kInternal) {
            CHECK(span.status == StatusCode::kError);
            CHECK(span.attribute("error.type") == as_json("502"));
            CHECK(span.attribute("network.protocol.version") == as_json("1.0"));
        }
    }
}

TEST_CASE("beast: what was never answered says so") {
    RecordedSpans spans;
    http::request<http::empty_body> request(http::verb::get, "/", 11);
    {
        const auto span = start_beast_client_span(spans.tracer, request, "http://example.com");
    }
    CHECK(spans.last().attribute("error.type") == as_json("response_not_received"));
    CHECK(request["traceparent"].substr(3, 32) == spans.last().trace_id);
    {
        const auto span = start_beast_server_span(spans.tracer, request, {});
    }
    CHECK(spans.last().attribute("error.type") == as_json("response_not_sent"));
    CHECK(is_child(spans.all()[1], spans.all()[0]));
}
