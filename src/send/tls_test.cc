#include <atomic>

#include <doctest/doctest.h>

#include "http/server.h"
#include "send/otlp_client.h"
#include "send/test_server.h"

using namespace spanloom;
using namespace spanloom::send;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
const Protocol kAll[] = {Protocol::kGrpc, Protocol::kHttpProtobuf, Protocol::kHttpJson};

// Takes everything, over TLS.
struct TlsCollector {
    explicit TlsCollector(const Certificate& own, const std::string& client_ca = "") {
        server = std::move(*http::Server::create({}, 1, budget, metrics));
        http::Endpoint endpoint;
        endpoint.name = "collector";
        endpoint.host = "127.0.0.1";
        endpoint.tls = {own.certificate(), own.key(), client_ca};
        endpoint.handler = [this](http::Request request,
                                  const std::shared_ptr<http::Responder>& responder) {
            ++calls;
            bytes = request.body.size();
            if (request.is_grpc()) return responder->send(http::grpc_reply({}));
            http::Response response;
            response.headers.add("content-type", std::string(request.headers.get("content-type")));
            responder->send(std::move(response));
        };
        port = *server->listen(std::move(endpoint));
        server->start();
    }
    OtlpClientOptions options(Protocol protocol, const Certificate& trusted) const {
        OtlpClientOptions made;
        made.endpoint = "https://127.0.0.1:" + std::to_string(port);
        made.protocol = protocol;
        made.tls.ca_file = trusted.certificate();
        made.retry.initial_backoff_ms = 1;
        return made;
    }

    MemoryBudget budget{64U << 20};
    MetricsRegistry metrics;
    std::atomic<int> calls = 0;
    std::atomic<size_t> bytes = 0;
    uint16_t port = 0;
    std::unique_ptr<http::Server> server;
};

Result<ExportReply> export_with(OtlpClientOptions options, std::string_view body = {},
                                uint64_t deadline_ns = 10 * kSecond) {
    const SystemClock clock;
    SeededRandom random(1);
    TRY_ASSIGN(const std::unique_ptr<OtlpClient> client,
               OtlpClient::create(std::move(options), clock, random));
    TRY(client->export_spans(body, clock.monotonic_ns() + deadline_ns));
    return client->export_spans(body, clock.monotonic_ns() + deadline_ns);
}

}  // namespace

TEST_CASE("requests of any size go over TLS to a server whose certificate is trusted") {
    const Certificate own("IP:127.0.0.1");
    TlsCollector collector(own);
    for (const Protocol protocol : kAll) {
        auto reply = export_with(collector.options(protocol, own));
        REQUIRE_MESSAGE(reply, reply.error().message);
    }
    CHECK(collector.calls == 6);
    for (const Protocol protocol : {Protocol::kGrpc, Protocol::kHttpProtobuf}) {
        const std::string body(5U << 20, 'b');
        auto reply = export_with(collector.options(protocol, own), body);
        REQUIRE_MESSAGE(reply, reply.error().message);
        CHECK(collector.bytes >= body.size());
    }
}

TEST_CASE("a certificate that is expired, for another host or of a stranger is refused") {
    const Certificate own("IP:127.0.0.1");
    const Certificate stranger("IP:127.0.0.1");
    const Certificate elsewhere("DNS:elsewhere.example");
    const Certificate expired("IP:127.0.0.1", -1);
    for (const Certificate* shown : {&stranger, &elsewhere, &expired}) {
        TlsCollector collector(*shown);
        for (const Protocol protocol : kAll) {
            auto reply =
                export_with(collector.options(protocol, shown == &stranger ? own : *shown));
            REQUIRE(!reply);
            CHECK(reply.error().code == ErrorCode::kPermissionDenied);
            CHECK(reply.error().message.find("certificate") != std::string::npos);
        }
        CHECK(collector.calls == 0);
    }
}

TEST_CASE("a client shows its certificate where the server wants one") {
    const Certificate own("IP:127.0.0.1");
    const Certificate client("DNS:client");
    TlsCollector collector(own, client.certificate());
    for (const Protocol protocol : kAll) {
        OtlpClientOptions options = collector.options(protocol, own);
        CHECK(!export_with(options, {}, kSecond / 5));
        CHECK(collector.calls == 0);
        options.tls.client_certificate_file = client.certificate();
        options.tls.client_key_file = client.key();
        auto reply = export_with(options);
        CHECK_MESSAGE(reply, reply.error().message);
        collector.calls = 0;
    }
}

TEST_CASE("a handshake that never ends is left at the deadline; nothing falls back to plaintext") {
    std::atomic<bool> has_spoken_http = false;
    RawServer server([&](int descriptor, const std::atomic<bool>& stopping) {
        char first = 0;
        if (::recv(descriptor, &first, 1, 0) == 1 && first != 0x16) has_spoken_http = true;
        RawServer::swallow(descriptor, stopping);
    });
    for (const Protocol protocol : kAll) {
        OtlpClientOptions options;
        options.endpoint = server.url("https");
        options.protocol = protocol;
        auto reply = export_with(options, {}, kSecond / 20);
        REQUIRE(!reply);
        CHECK(reply.error().code == ErrorCode::kDeadlineExceeded);
    }
    CHECK(!has_spoken_http);
}

TEST_CASE("files that TLS cannot use are named at once") {
    const Certificate own("IP:127.0.0.1");
    const Certificate other("IP:127.0.0.1");
    OtlpClientOptions options;
    options.endpoint = "https://127.0.0.1:1";
    options.tls.ca_file = "/no/such/file";
    CHECK(export_with(options).error().message.find("/no/such/file") != std::string::npos);
    options.tls.ca_file = own.certificate();
    options.tls.client_certificate_file = own.certificate();
    CHECK(export_with(options).error().message.find("together") != std::string::npos);
    options.tls.client_key_file = other.key();
    CHECK(export_with(options).error().code == ErrorCode::kInvalidArgument);
}
