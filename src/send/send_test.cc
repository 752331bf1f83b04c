#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "http/compression.h"
#include "http/server.h"
#include "send/endpoint.h"
#include "send/json_fields.h"
#include "send/otlp_client.h"
#include "send/proto_reader.h"
#include "send/retry.h"

using namespace spanloom;
using namespace spanloom::send;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// What the fake collector answers, call by call; the last one stays.
using Script = std::vector<std::function<http::Response(const http::Request&)>>;

struct Collector {
    explicit Collector(Script answers, http::ServerLimits limits = {})
        : script(std::move(answers)) {
        server = std::move(*http::Server::create(limits, 1, budget, metrics));
        http::Endpoint endpoint;
        endpoint.name = "collector";
        endpoint.host = "127.0.0.1";
        endpoint.handler = [this](http::Request request,
                                  const std::shared_ptr<http::Responder>& responder) {
            const size_t call = calls++;
            {
                std::lock_guard lock(mutex);
                last = request;
                peers.push_back(request.peer);
            }
            responder->send(script[std::min(call, script.size() - 1)](request));
        };
        port = *server->listen(std::move(endpoint));
        server->start();
    }
    std::unique_ptr<OtlpClient> client(Protocol protocol, uint32_t timeout_ms = 5'000) {
        OtlpClientOptions options;
        options.endpoint = "http://127.0.0.1:" + std::to_string(port);
        options.protocol = protocol;
        options.timeout_ms = timeout_ms;
        options.headers = {{"X-Tenant", "blue"}};
        options.retry.initial_backoff_ms = 1;
        options.retry.backoff_ms_max = 4;
        options.retry.server_wait_ms_max = 20;
        auto made = OtlpClient::create(options, clock, random);
        REQUIRE(made);
        return std::move(*made);
    }
    uint64_t deadline(uint64_t seconds = 5) const {
        return clock.monotonic_ns() + seconds * kSecond;
    }

    SystemClock clock;
    SeededRandom random{7};
    MemoryBudget budget{64U << 20};
    MetricsRegistry metrics;
    Script script;
    std::atomic<size_t> calls = 0;
    std::mutex mutex;
    http::Request last;
    std::vector<std::string> peers;
    uint16_t port = 0;
    std::unique_ptr<http::Server> server;
};

http::Response take(const http::Request& request, std::string_view body = {}) {
    if (request.is_grpc()) return http::grpc_reply(body);
    http::Response response;
    response.headers.add("content-type", "application/x-protobuf");
    response.body = body;
    return response;
}
http::Response accept(const http::Request& request) {
    return take(request);
}

std::function<http::Response(const http::Request&)> refuse(http::Refusal refusal) {
    return [refusal](const http::Request& request) {
        return http::error_reply(refusal, request.headers.get("content-type"));
    };
}

const Protocol kBoth[] = {Protocol::kGrpc, Protocol::kHttpProtobuf};

}  // namespace

TEST_CASE("requests arrive as they were sent, over one kept connection") {
    for (const Protocol protocol : kBoth) {
        Collector collector({accept});
        auto client = collector.client(protocol);
        for (const size_t size : {0UL, 10UL, 100'000UL, 3'000'000UL}) {
            const std::string request(size, 'r');
            auto reply = client->export_spans(request, collector.deadline());
            REQUIRE(reply);
            CHECK(reply->attempts == 1);
            CHECK(reply->rejected_spans == 0);
            std::lock_guard lock(collector.mutex);
            CHECK(collector.last.headers.get("x-tenant") == "blue");
            if (protocol == Protocol::kGrpc) {
                CHECK(http::parse_grpc_body(collector.last.body)->message.view() == request);
                CHECK(collector.last.path ==
                      "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            } else {
                CHECK(collector.last.body.view() == request);
                CHECK(collector.last.path == "/v1/traces");
            }
            CHECK(collector.peers.front() == collector.peers.back());
        }
    }
}

TEST_CASE("gzip is said and done") {
    for (const Protocol protocol : kBoth) {
        Collector collector({accept});
        OtlpClientOptions options;
        options.endpoint = "127.0.0.1:" + std::to_string(collector.port);
        options.protocol = protocol;
        options.gzip = true;
        auto client = OtlpClient::create(options, collector.clock, collector.random);
        const std::string request(50'000, 'z');
        REQUIRE((*client)->export_spans(request, collector.deadline()));
        Blob body = collector.last.body;
        if (protocol == Protocol::kGrpc) {
            CHECK(collector.last.headers.get("grpc-encoding") == "gzip");
            auto message = http::parse_grpc_body(body);
            CHECK(message->compressed);
            body = message->message;
        } else {
            CHECK(collector.last.headers.get("content-encoding") == "gzip");
        }
        CHECK(http::inflate(http::Encoding::kGzip, body, 100'000)->view() == request);
    }
}

TEST_CASE("partial success is reported") {
    const std::string partial(
        "\x0a\x09\x08\x03\x12\x05"
        "no id",
        11);
    for (const Protocol protocol : kBoth) {
        Collector collector({[&](const http::Request& request) { return take(request, partial); }});
        auto reply = collector.client(protocol)->export_spans("x", collector.deadline());
        REQUIRE(reply);
        CHECK(reply->rejected_spans == 3);
        CHECK(reply->message == "no id");
    }
}

TEST_CASE("what may pass is sent again, what may not is not") {
    for (const Protocol protocol : kBoth) {
        Collector busy({refuse({503, 14, "busy"}), refuse({429, 14, "slower"}), accept});
        auto reply = busy.client(protocol)->export_spans("x", busy.deadline());
        REQUIRE(reply);
        CHECK(reply->attempts == 3);
        for (const http::Refusal& refusal :
             {http::Refusal{400, 3, "bad"}, http::Refusal{413, 8, "large"},
              http::Refusal{404, 12, "unknown"}, http::Refusal{500, 13, "broken"}}) {
            Collector final({refuse(refusal)});
            auto refused = final.client(protocol)->export_spans("x", final.deadline());
            REQUIRE(!refused);
            CHECK(final.calls == 1);
            CHECK(refused.error().message.find(refusal.text) != std::string::npos);
        }
    }
}

TEST_CASE("a server's wish for patience is obeyed, up to a cap") {
    for (const Protocol protocol : kBoth) {
        // Ten years asked; the policy of this client allows 20 ms.
        Collector collector({refuse({429, 8, "later", 315'360'000}), accept});
        const uint64_t start_ns = collector.clock.monotonic_ns();
        auto reply = collector.client(protocol)->export_spans("x", collector.deadline());
        REQUIRE(reply);
        CHECK(reply->attempts == 2);
        CHECK(collector.clock.monotonic_ns() - start_ns >= 20'000'000);
    }
}

TEST_CASE("a single attempt tells how it ended") {
    for (const Protocol protocol : kBoth) {
        Collector collector({refuse({429, 8, "later", 7}), refuse({400, 3, "bad"}), accept});
        const auto client = collector.client(protocol);
        const Attempt busy = client->try_export(Pieces("x"), collector.deadline());
        CHECK(!busy.reply);
        CHECK(busy.is_retryable);
        CHECK(busy.is_answered);
        CHECK(busy.server_wait_ms == 7'000);
        CHECK(collector.calls == 1);
        const Attempt bad = client->try_export(Pieces("x"), collector.deadline());
        CHECK(!bad.is_retryable);
        CHECK(bad.is_answered);
        CHECK(bad.error.message.find("bad") != std::string::npos);
        CHECK(client->try_export(Pieces("x"), collector.deadline()).reply.has_value());
        collector.server->stop(0);
        const Attempt gone = client->try_export(Pieces("x"), collector.deadline());
        CHECK(!gone.is_answered);
        CHECK(gone.is_retryable);
        client->interrupt();
        CHECK(client->try_export(Pieces("x"), collector.deadline()).error.code ==
              ErrorCode::kCancelled);
    }
}

TEST_CASE("an answer of more than 4 MiB is not read") {
    for (const Protocol protocol : kBoth) {
        Collector collector({[](const http::Request& request) {
            return take(request, std::string((4U << 20) + 1, 'a'));
        }});
        auto reply = collector.client(protocol)->export_spans("x", collector.deadline());
        REQUIRE(!reply);
        CHECK(collector.calls == 1);
    }
}

TEST_CASE("nobody there, nobody answering, and a deadline") {
    SystemClock clock;
    SeededRandom random(1);
    uint16_t free_port = 0;
    {
        Collector collector({accept});
        free_port = collector.port;
    }
    for (const Protocol protocol : kBoth) {
        OtlpClientOptions options;
        options.endpoint = "http://127.0.0.1:" + std::to_string(free_port);
        options.protocol = protocol;
        options.retry.initial_backoff_ms = 5;
        auto client = OtlpClient::create(options, clock, random);
        auto reply = (*client)->export_spans("x", clock.monotonic_ns() + 50'000'000);
        REQUIRE(!reply);
        CHECK(reply.error().code == ErrorCode::kUnavailable);
        CHECK(reply.error().message.find("127.0.0.1") != std::string::npos);
        CHECK(reply.error().message.find("attempts") != std::string::npos);
    }
}

TEST_CASE("a call under way can be interrupted from another thread") {
    for (const Protocol protocol : kBoth) {
        SystemClock clock;
        SeededRandom random(1);
        MemoryBudget budget(1U << 20);
        MetricsRegistry metrics;
        auto server = std::move(*http::Server::create({}, 1, budget, metrics));
        std::unique_ptr<OtlpClient> client;
        std::shared_ptr<http::Responder> kept;
        http::Endpoint endpoint;
        endpoint.name = "silent";
        endpoint.host = "127.0.0.1";
        endpoint.handler = [&](http::Request, const std::shared_ptr<http::Responder>& responder) {
            kept = responder;
            client->interrupt();
        };
        const uint16_t port = *server->listen(std::move(endpoint));
        OtlpClientOptions options;
        options.endpoint = "http://127.0.0.1:" + std::to_string(port);
        options.protocol = protocol;
        client = std::move(*OtlpClient::create(options, clock, random));
        server->start();
        auto reply = client->export_spans("x", clock.monotonic_ns() + 30 * kSecond);
        REQUIRE(!reply);
        CHECK(reply.error().code == ErrorCode::kCancelled);
        server->stop(0);
    }
}

TEST_CASE("a kept connection that the server closed is opened again without a pause") {
    for (const Protocol protocol : kBoth) {
        http::ServerLimits limits;
        limits.idle_timeout_ms = 30;
        Collector collector({accept}, limits);
        auto client = collector.client(protocol);
        REQUIRE(client->export_spans("x", collector.deadline()));
        const auto open = [&] {
            return collector.metrics.render().find(
                       "http_connections_open{endpoint=\"collector\"} 1") != std::string::npos;
        };
        // The connection stays half closed until the client looks at it, or the linger time ends.
        while (open())
            std::this_thread::yield();
        auto reply = client->export_spans("y", collector.deadline());
        REQUIRE(reply);
        CHECK(reply->attempts == 1);
    }
}

TEST_CASE("endpoints are read as people write them") {
    auto plain = parse_endpoint("http://example.org:4318/base", 1);
    REQUIRE(plain);
    CHECK(plain->host == "example.org");
    CHECK(plain->port == 4318);
    CHECK(plain->path == "/base");
    CHECK(parse_endpoint("localhost", 4317)->authority() == "localhost:4317");
    CHECK(parse_endpoint("http://[::1]:99/", 1)->authority() == "[::1]:99");
    CHECK(parse_endpoint("http://[::1]:99/", 1)->path == "/");
    for (const char* bad : {"", "http://", "ftp://a", "http://a:0", "http://a:65536", "http://a:x",
                            "http://[::1", "http://u@a", "http://a b", "http://a/\r\nx: y"}) {
        CAPTURE(bad);
        CHECK(!parse_endpoint(bad, 1));
    }
    CHECK(parse_endpoint("https://a", 1)->is_tls);
    CHECK(!parse_endpoint("http://a", 1)->is_tls);
    CHECK(!parse_endpoint("a", 1)->is_tls);
}

TEST_CASE("back-off grows to its limit, within its jitter") {
    SeededRandom random(3);
    const RetryPolicy policy;
    for (uint32_t attempt = 1; attempt < 1'000; ++attempt) {
        const double expected =
            std::min(1'000 * (attempt > 20 ? 1e9 : std::pow(1.5, attempt - 1)), 5'000.0);
        const auto wait = static_cast<double>(backoff_ms(policy, attempt, std::nullopt, random));
        CHECK(wait >= expected * 0.79);
        CHECK(wait <= expected * 1.21);
    }
    CHECK(backoff_ms(policy, 1, 9'000, random) == 9'000);
    CHECK(backoff_ms(policy, 1, 9'000'000'000, random) == 30'000);
}

TEST_CASE("Retry-After is seconds or a date") {
    CHECK(parse_retry_after_ms("7", 0) == 7'000);
    CHECK(parse_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", 784'111'770) == 7'000);
    CHECK(parse_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", 784'111'999) == 0);
    CHECK(parse_retry_after_ms("99999999999999999999999", 0) == 1'000'000'000);
    CHECK(!parse_retry_after_ms("soon", 0));
    CHECK(!parse_retry_after_ms("", 0));
    CHECK(!parse_retry_after_ms("-5", 0));
}

TEST_CASE("RetryInfo is found in a status, and damage is not followed") {
    CHECK(find_retry_info_ms(http::encode_rpc_status(14, "full", 7)) == 7'000);
    CHECK(!find_retry_info_ms(http::encode_rpc_status(14, "full")));
    const std::string whole = http::encode_rpc_status(14, "full", 7);
    for (size_t size = 0; size < whole.size(); ++size) {
        const auto wait = find_retry_info_ms(whole.substr(0, size));
        CHECK(wait.value_or(0) <= 7'000);
    }
    ProtoReader damaged(std::string_view("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12));
    CHECK(!damaged.next());
    CHECK(damaged.is_damaged());
}

TEST_CASE("bytes that lie in pieces arrive as one, compressed or not") {
    for (const Protocol protocol : kBoth) {
        for (const bool is_compressed : {false, true}) {
            Collector collector({accept});
            OtlpClientOptions options;
            options.endpoint = "127.0.0.1:" + std::to_string(collector.port);
            options.protocol = protocol;
            options.gzip = is_compressed;
            auto client = OtlpClient::create(options, collector.clock, collector.random);
            std::vector<std::string> parts;
            Pieces pieces;
            std::string whole;
            for (size_t i = 0; i < 3'000; ++i)
                parts.push_back(std::string(i % 300, static_cast<char>('a' + i % 26)));
            for (const std::string& part : parts) {
                pieces.add(part);
                whole += part;
            }
            REQUIRE((*client)->export_spans(pieces, collector.deadline()));
            Blob body = collector.last.body;
            if (protocol == Protocol::kGrpc) body = http::parse_grpc_body(body)->message;
            if (is_compressed) body = *http::inflate(http::Encoding::kGzip, body, 1U << 20);
            CHECK(body.view() == whole);
        }
    }
}

TEST_CASE("fields of a JSON answer are found, and damage is not followed") {
    const std::string_view text =
        R"( { "a" : [1, {"x":"}"}], "n":"-7", "m": 12, "t":"\u00e9\n", "o":{"t":"in"}, "l":null })";
    CHECK(json_number(text, "n") == -7);
    CHECK(json_number(text, "m") == 12);
    CHECK(json_text(text, "t") == "\xc3\xa9\n");
    CHECK(json_text(json_object(text, "o").value_or(""), "t") == "in");
    CHECK(!json_text(text, "l"));
    CHECK(!json_text(text, "x"));
    for (size_t size = 0; size < text.size(); ++size)
        CHECK(!json_object(text.substr(0, size), "none"));
    CHECK(!json_object(std::string(100'000, '['), "a"));
    CHECK(!json_object("{\"a\":" + std::string(100'000, '['), "a"));
}
