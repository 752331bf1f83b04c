// cpp-httplib and libcurl against each other, over real sockets.
#include <thread>

#include "spanloom/instrumentation/curl.h"
#include "spanloom/instrumentation/httplib.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::as_json;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;

namespace {

// A traced server on a free port.
struct Service {
    RecordedSpans spans;
    HttplibServer server{spans.tracer};
    int port = server.bind_to_any_port("127.0.0.1");
    std::thread thread;

    explicit Service(IncomingContext incoming = IncomingContext::kConfigured) {
        server.set_incoming_context(incoming);
        server.Get("/edge", [](const ::httplib::Request&, ::httplib::Response& response) {
            const std::string who(Context::current().baggage().get("who"));
            response.set_content(who, "text/plain");
        });
        server.Get(R"(/users/(\d+))", "/users/{id}",
                   [this](const ::httplib::Request&, ::httplib::Response& response) {
                       auto work = spans.tracer.start_span("work");
                       response.set_content("ann", "text/plain");
                   });
        server.Post("/orders",
                    [](const ::httplib::Request& request, ::httplib::Response& response) {
                        response.status = 201;
                        response.set_content(request.get_header_value("traceparent"), "text/plain");
                    });
        server.Get("/broken", [](const ::httplib::Request&, ::httplib::Response&) {
            throw std::runtime_error("no");
        });
        server.Get("/unavailable", [](const ::httplib::Request&, ::httplib::Response& response) {
            response.status = 503;
        });
        server.set_keep_alive_max_count(1);
        thread = std::thread([this] { server.listen_after_bind(); });
    }
    ~Service() { stop(); }
    // A server's span ends after the client has its answer.
    void stop() {
        while (!server.is_running() && thread.joinable()) {
            std::this_thread::yield();
        }
        server.stop();
        if (thread.joinable()) {
            thread.join();
        }
    }
    std::string origin() const { return "http://127.0.0.1:" + std::to_string(port); }
};

struct Easy {
    CURL* handle = curl_easy_init();
    std::string body;

    Easy() {
        curl_easy_setopt(handle, CURLOPT_WRITEDATA, &body);
        curl_easy_setopt(
            handle, CURLOPT_WRITEFUNCTION, +[](char* data, size_t, size_t size, void* out) {
                static_cast<std::string*>(out)->append(data, size);
                return size;
            });
    }
    ~Easy() { curl_easy_cleanup(handle); }
};

FinishedSpan of_kind(const RecordedSpans& spans, SpanKind kind) {
    for (const auto& span : spans.all()) {
        if (span.kind == kind) {
            return span;
        }
    }
    FAIL("no span of that kind");
    return {};
}

}  // namespace

TEST_CASE("httplib: a server at a public edge begins traces of its own, linked to the callers'") {
    const std::string trace = "0af7651916cd43dd8448eb211c80319c";
    for (const auto& [incoming, baggage] :
         {std::pair(IncomingContext::kContinue, "tenant"), std::pair(IncomingContext::kRestart, ""),
          std::pair(IncomingContext::kRestartWithBaggage, "tenant")}) {
        Service service(incoming);
        ::httplib::Client client("127.0.0.1", service.port);
        // A caller that forces the flag, and a randomness, on others.
        const auto result =
            client.Get("/edge", {{"traceparent", "00-" + trace + "-b7ad6b7169203331-01"},
                                 {"tracestate", "ot=rv:ffffffffffffff;th:0"},
                                 {"baggage", "who=tenant"}});
        REQUIRE(result);
        CHECK(result->body == baggage);
        service.stop();
        const auto span = service.spans.named("GET /edge");
        if (incoming == IncomingContext::kContinue) {
            CHECK(span.trace_id == trace);
            CHECK(span.links.empty());
            continue;
        }
        CHECK(span.trace_id != trace);
        CHECK(span.parent_span_id.empty());
        CHECK(span.trace_state.empty());
        REQUIRE(span.links.size() == 1);
        CHECK(span.links[0].trace_id == trace);
        CHECK(span.links[0].span_id == "b7ad6b7169203331");
    }
}

TEST_CASE("httplib: client and server spans are one trace, named by the route") {
    Service service;
    HttplibClient client(service.spans.tracer, "127.0.0.1", service.port);
    {
        const ActiveSpan parent = service.spans.tracer.start_active("parent");
        const auto result = client.Get("/users/7?full=1&token=secret", {{"User-Agent", "test"}});
        REQUIRE(result);
        CHECK(result->body == "ann");
    }
    service.stop();
    const auto client_span = service.spans.named("GET");
    CHECK(client_span.kind == SpanKind::kClient);
    CHECK(is_child(client_span, service.spans.named("parent")));
    CHECK(client_span.attribute("http.request.method") == as_json("GET"));
    CHECK(client_span.attribute("url.full") ==
          as_json(service.origin() + "/users/7?full=1&token=REDACTED"));
    CHECK(client_span.attribute("server.address") == as_json("127.0.0.1"));
    CHECK(client_span.attribute("server.port") == std::to_string(service.port));
    CHECK(client_span.attribute("http.response.status_code") == "200");
    CHECK(client_span.attribute("network.protocol.version") == as_json("1.1"));
    CHECK(client_span.status == StatusCode::kUnset);

    const auto server_span = service.spans.named("GET /users/{id}");
    CHECK(server_span.kind == SpanKind::kServer);
    CHECK(is_child(server_span, client_span));
    CHECK(is_child(service.spans.named("work"), server_span));
    CHECK(server_span.attribute("http.route") == as_json("/users/{id}"));
    CHECK(server_span.attribute("url.path") == as_json("/users/7"));
    CHECK(server_span.attribute("url.query") == as_json("full=1&token=REDACTED"));
    CHECK(server_span.attribute("url.scheme") == as_json("http"));
    CHECK(server_span.attribute("server.address") == as_json("127.0.0.1"));
    CHECK(server_span.attribute("server.port") == std::to_string(service.port));
    CHECK(server_span.attribute("client.address") == as_json("127.0.0.1"));
    CHECK(server_span.attribute("network.peer.address") == as_json("127.0.0.1"));
    CHECK(!server_span.attribute("network.peer.port").empty());
    CHECK(server_span.attribute("network.protocol.version") == as_json("1.1"));
    CHECK(server_span.attribute("user_agent.original") == as_json("test"));
    CHECK(server_span.attribute("http.response.status_code") == "200");
    CHECK(server_span.status == StatusCode::kUnset);
}

TEST_CASE("httplib: what is an error depends on the side") {
    Service service;
    HttplibClient client(service.spans.tracer, service.origin());
    REQUIRE(client.Get("/nowhere"));
    service.stop();
    const auto not_found = of_kind(service.spans, SpanKind::kServer);
    CHECK(not_found.name == "GET");
    CHECK(not_found.attribute("http.route").empty());
    CHECK(not_found.attribute("http.response.status_code") == "404");
    CHECK(not_found.attribute("error.type").empty());
    CHECK(not_found.status == StatusCode::kUnset);
    const auto client_span = of_kind(service.spans, SpanKind::kClient);
    CHECK(client_span.attribute("error.type") == as_json("404"));
    CHECK(client_span.status == StatusCode::kError);
    CHECK(client_span.status_description.empty());
}

TEST_CASE("httplib: exceptions of handlers and bad answers are errors of the server") {
    Service service;
    HttplibClient client(service.spans.tracer, service.origin());
    REQUIRE(client.Get("/broken"));
    REQUIRE(client.Get("/unavailable"));
    service.stop();
    const auto broken = service.spans.named("GET /broken");
    CHECK(broken.status == StatusCode::kError);
    CHECK(broken.attribute("http.response.status_code") == "500");
    CHECK(broken.attribute("error.type") == as_json("std::runtime_error"));
    REQUIRE(broken.events.size() == 1);
    CHECK(broken.events[0].name == "exception");
    CHECK(service.spans.named("GET /unavailable").attribute("error.type") == as_json("503"));
}

TEST_CASE("httplib: methods nobody knows, bodies, and a server that is not there") {
    Service service;
    HttplibClient client(service.spans.tracer, service.origin());
    const auto created = client.Post("/orders", "{}", "application/json");
    REQUIRE(created);
    CHECK(created->status == 201);
    service.stop();
    CHECK(created->body.substr(3, 32) == service.spans.named("POST /orders").trace_id);
    service.spans.clear();

    CHECK(!client.Get("/users/7"));
    const auto failed = service.spans.named("GET");
    CHECK(failed.attribute("error.type") == as_json("connection_failed"));
    CHECK(failed.attribute("http.response.status_code").empty());
    CHECK(failed.status == StatusCode::kError);
    service.spans.clear();

    ::httplib::Request request;
    request.method = "BREW";
    request.path = "/pot";
    CHECK(!client.send(request));
    const auto brew = service.spans.named("HTTP");
    CHECK(brew.attribute("http.request.method") == as_json("_OTHER"));
    CHECK(brew.attribute("http.request.method_original") == as_json("BREW"));
}

TEST_CASE("curl: a transfer carries the trace on, with the caller's headers") {
    Service service;
    Easy easy;
    curl_slist* headers = curl_slist_append(nullptr, "User-Agent: mine");
    {
        const ActiveSpan parent = service.spans.tracer.start_active("parent");
        CurlTransfer transfer(service.spans.tracer, easy.handle, "GET",
                              service.origin() + "/users/7", headers);
        CHECK(transfer.perform() == CURLE_OK);
    }
    curl_slist_free_all(headers);
    service.stop();
    CHECK(easy.body == "ann");
    const auto client_span = service.spans.named("GET");
    CHECK(is_child(client_span, service.spans.named("parent")));
    CHECK(client_span.attribute("http.response.status_code") == "200");
    CHECK(client_span.attribute("network.protocol.version") == as_json("1.1"));
    CHECK(client_span.attribute("network.peer.address") == as_json("127.0.0.1"));
    CHECK(client_span.attribute("network.peer.port") == std::to_string(service.port));
    const auto server_span = service.spans.named("GET /users/{id}");
    CHECK(is_child(server_span, client_span));
    CHECK(server_span.attribute("user_agent.original") == as_json("mine"));
}

TEST_CASE("curl: methods, bodies, multi handles and errors") {
    Service service;
    Easy easy;
    {
        CurlTransfer transfer(service.spans.tracer, easy.handle, "POST",
                              service.origin() + "/orders");
        curl_easy_setopt(easy.handle, CURLOPT_POSTFIELDS, "{}");
        CURLM* const multi = curl_multi_init();
        curl_multi_add_handle(multi, easy.handle);
        int running = 1;
        while (running > 0) {
            REQUIRE(curl_multi_perform(multi, &running) == CURLM_OK);
            REQUIRE(curl_multi_poll(multi, nullptr, 0, 1000, nullptr) == CURLM_OK);
        }
        int left = 0;
        const CURLMsg* const message = curl_multi_info_read(multi, &left);
        REQUIRE(message != nullptr);
        transfer.finish(message->data.result);
        curl_multi_remove_handle(multi, easy.handle);
        curl_multi_cleanup(multi);
    }
    {
        CurlTransfer transfer(service.spans.tracer, easy.handle, "GET",
                              service.origin() + "/unavailable");
        CHECK(transfer.perform() == CURLE_OK);
    }
    service.stop();
    CHECK(is_child(service.spans.named("POST /orders"), service.spans.named("POST")));
    CHECK(service.spans.named("POST").attribute("http.response.status_code") == "201");
    CHECK(service.spans.named("GET").attribute("error.type") == as_json("503"));
    service.spans.clear();
    {
        CurlTransfer transfer(service.spans.tracer, easy.handle, "GET",
                              service.origin() + "/users/7");
        CHECK(transfer.perform() == CURLE_COULDNT_CONNECT);
    }
    CHECK(service.spans.named("GET").attribute("error.type") == as_json("connection_failed"));
    service.spans.clear();
    {
        CurlTransfer never(service.spans.tracer, easy.handle, "DELETE",
                           service.origin() + "/users/7");
    }
    CHECK(service.spans.named("DELETE").attribute("error.type") ==
          as_json("response_not_received"));
}
