#include <chrono>
#include <condition_variable>
#include <mutex>

#include <doctest/doctest.h>
#include <sys/wait.h>

#include "send/otlp_client.h"
#include "send/resolver.h"
#include "send/test_server.h"

using namespace spanloom;
using namespace spanloom::send;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1'000 * kMillisecond;
const Protocol kAll[] = {Protocol::kGrpc, Protocol::kHttpProtobuf, Protocol::kHttpJson};

struct Client {
    explicit Client(OtlpClientOptions options) {
        options.retry.initial_backoff_ms = 1;
        options.retry.backoff_ms_max = 4;
        made = std::move(*OtlpClient::create(std::move(options), clock, random));
    }
    Result<ExportReply> send(uint64_t deadline_ms, std::string_view body = {}) {
        started_ns = clock.monotonic_ns();
        return made->export_spans(body, started_ns + deadline_ms * kMillisecond);
    }
    uint64_t took_ms() const { return (clock.monotonic_ns() - started_ns) / kMillisecond; }

    SystemClock clock;
    SeededRandom random{3};
    uint64_t started_ns = 0;
    std::unique_ptr<OtlpClient> made;
};

OtlpClientOptions options_for(const std::string& url, Protocol protocol) {
    OtlpClientOptions options;
    options.endpoint = url;
    options.protocol = protocol;
    return options;
}

// What a call may take beyond its deadline on a busy machine.
constexpr uint64_t kGraceMs = 1'000;

}  // namespace

TEST_CASE("a server that takes everything and says nothing costs no more than the deadline") {
    RawServer server(RawServer::swallow);
    for (const Protocol protocol : kAll) {
        Client client(options_for(server.url(), protocol));
        auto reply = client.send(60);
        REQUIRE(!reply);
        CHECK(reply.error().code == ErrorCode::kDeadlineExceeded);
        CHECK(client.took_ms() >= 60);
        CHECK(client.took_ms() < 60 + kGraceMs);
    }
}

TEST_CASE("a server that reads nothing does not hold a large request up for longer") {
    RawServer server([](int descriptor, const std::atomic<bool>& stopping) {
        while (!stopping) {
            pollfd waited = {descriptor, 0, 0};  // only to learn that the client has gone
            if (::poll(&waited, 1, 5) > 0) return;
        }
    });
    const std::string body(20U << 20, 'x');
    for (const Protocol protocol : {Protocol::kGrpc, Protocol::kHttpProtobuf}) {
        Client client(options_for(server.url(), protocol));
        auto reply = client.send(80, body);
        REQUIRE(!reply);
        CHECK(client.took_ms() < 80 + kGraceMs);
    }
}

TEST_CASE("a server that answers byte by byte is left at the deadline") {
    RawServer server([](int descriptor, const std::atomic<bool>& stopping) {
        const std::string_view answer = "HTTP/1.1 200 OK\r\nx-filler: aaaaaaaaaaaaaaaaaaaaaaaaa";
        for (size_t i = 0; !stopping; ++i) {
            const char c = i < answer.size() ? answer[i] : 'a';
            if (::send(descriptor, &c, 1, MSG_NOSIGNAL) <= 0) return;
            ::poll(nullptr, 0, 2);
        }
    });
    Client client(options_for(server.url(), Protocol::kHttpProtobuf));
    auto reply = client.send(100);
    REQUIRE(!reply);
    CHECK(reply.error().code == ErrorCode::kDeadlineExceeded);
    CHECK(client.took_ms() < 100 + kGraceMs);
}

TEST_CASE("an answer of a gigabyte is refused, announced or not") {
    for (const char* head : {"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n",
                             "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n",
                             "HTTP/1.0 200 OK\r\n\r\n"}) {
        CAPTURE(head);
        std::atomic<size_t> sent = 0;
        RawServer server([&](int descriptor, const std::atomic<bool>& stopping) {
            RawServer::write(descriptor, head);
            const std::string part(64U << 10, 'a');
            while (!stopping && sent < 1U << 30) {
                const ssize_t n = ::send(descriptor, part.data(), part.size(), MSG_NOSIGNAL);
                if (n <= 0) return;
                sent += static_cast<size_t>(n);
            }
        });
        Client client(options_for(server.url(), Protocol::kHttpProtobuf));
        auto reply = client.send(10'000);
        REQUIRE(!reply);
        CHECK(reply.error().code == ErrorCode::kInternal);
        CHECK(server.connections == 1);
        CHECK(sent < 64U << 20);
    }
}

TEST_CASE("a redirect is not followed, and not tried again") {
    RawServer server([](int descriptor, const std::atomic<bool>&) {
        RawServer::write(descriptor,
                         "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n"
                         "content-length: 0\r\nconnection: close\r\n\r\n");
    });
    for (const Protocol protocol : {Protocol::kHttpProtobuf, Protocol::kHttpJson}) {
        Client client(options_for(server.url(), protocol));
        auto reply = client.send(5'000);
        REQUIRE(!reply);
        CHECK(reply.error().message.find("302") != std::string::npos);
    }
    CHECK(server.connections == 2);
}

TEST_CASE("a Retry-After of ten years ends the call where the deadline comes first") {
    RawServer server([](int descriptor, const std::atomic<bool>&) {
        RawServer::write(descriptor,
                         "HTTP/1.1 503 Service Unavailable\r\nretry-after: 315360000\r\n"
                         "content-length: 0\r\nconnection: close\r\n\r\n");
    });
    Client client(options_for(server.url(), Protocol::kHttpProtobuf));
    auto reply = client.send(200);
    REQUIRE(!reply);
    CHECK(reply.error().message.find("503") != std::string::npos);
    CHECK(client.took_ms() < 200 + kGraceMs);
    CHECK(server.connections == 1);
}

TEST_CASE("garbage instead of HTTP is an error") {
    for (const std::string_view garbage :
         {std::string_view("\x00\x01\x02\x03", 4), std::string_view("SSH-2.0-x\r\n\r\n"),
          std::string_view("HTTP/1.1 999999 X\r\n\r\n"),
          std::string_view("HTTP/1.1 200\r\nx\r\n\r\n")}) {
        RawServer server([&](int descriptor, const std::atomic<bool>&) {
            RawServer::write(descriptor, garbage);
        });
        for (const Protocol protocol : kAll) {
            Client client(options_for(server.url(), protocol));
            CHECK(!client.send(300));
        }
    }
}

TEST_CASE("JSON answers are read: partial success, and why a request was refused") {
    const std::string partial =
        R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"no \"id\""}})";
    const std::string refusal = R"({"code":3,"message":"bad request","details":[{"a":[1,{}]}]})";
    RawServer server([&](int descriptor, const std::atomic<bool>&) {
        static std::atomic<int> call = 0;
        const bool is_first = call++ == 0;
        const std::string& body = is_first ? partial : refusal;
        RawServer::write(descriptor, std::string("HTTP/1.1 ") + (is_first ? "200" : "400") +
                                         " X\r\ncontent-type: application/json\r\n"
                                         "connection: close\r\ncontent-length: " +
                                         std::to_string(body.size()) + "\r\n\r\n" + body);
    });
    Client client(options_for(server.url(), Protocol::kHttpJson));
    auto reply = client.send(5'000);
    REQUIRE(reply);
    CHECK(reply->rejected_spans == 3);
    CHECK(reply->message == "no \"id\"");
    reply = client.send(5'000);
    REQUIRE(!reply);
    CHECK(reply.error().message.find("bad request") != std::string::npos);
}

TEST_CASE("a request over 64 MiB is not sent") {
    RawServer server(RawServer::swallow);
    Client client(options_for(server.url(), Protocol::kHttpProtobuf));
    auto reply = client.send(5'000, std::string(kRequestBytesMax + 1, 'x'));
    REQUIRE(!reply);
    CHECK(reply.error().code == ErrorCode::kResourceExhausted);
    CHECK(server.connections == 0);
}

namespace {

std::mutex resolver_mutex;
std::condition_variable resolver_wakes;
bool resolver_is_free = false;
int resolver_calls = 0;
int resolver_ends = 0;

Result<std::vector<Address>> hang(const Endpoint&) {
    std::unique_lock lock(resolver_mutex);
    ++resolver_calls;
    resolver_wakes.wait(lock, [] { return resolver_is_free; });
    ++resolver_ends;
    resolver_wakes.notify_all();
    return std::vector<Address>{{AF_INET, "found"}};
}

}  // namespace

TEST_CASE("a name service that hangs does not hold a call up, and is asked once") {
    const SystemClock clock;
    Interrupt interrupt;
    Endpoint endpoint;
    endpoint.host = "collector.example";
    {
        Resolver resolver(hang);
        for (int i = 0; i < 3; ++i) {
            const uint64_t started_ns = clock.monotonic_ns();
            auto found =
                resolver.resolve(endpoint, started_ns + 30 * kMillisecond, clock, interrupt);
            REQUIRE(!found);
            CHECK(found.error().code == ErrorCode::kDeadlineExceeded);
            CHECK(clock.monotonic_ns() - started_ns < (30 + kGraceMs) * kMillisecond);
        }
        {
            const std::lock_guard lock(resolver_mutex);
            CHECK(resolver_calls <= 1);
            resolver_is_free = true;
            resolver_wakes.notify_all();
        }
        auto found =
            resolver.resolve(endpoint, clock.monotonic_ns() + 10 * kSecond, clock, interrupt);
        REQUIRE(found);
        CHECK(found->front().bytes == "found");
        CHECK(resolver_calls == 1);
        resolver_is_free = false;
        CHECK(!resolver.resolve(endpoint, clock.monotonic_ns() + kMillisecond, clock, interrupt));
    }
    // The thread outlives its resolver.
    std::unique_lock lock(resolver_mutex);
    resolver_is_free = true;
    resolver_wakes.notify_all();
    resolver_wakes.wait(lock, [] { return resolver_ends == 2; });
}

TEST_CASE("a name that does not exist is told, not waited for") {
    Client client(options_for("http://no-such-host.invalid:4318", Protocol::kHttpProtobuf));
    auto reply = client.send(100);
    REQUIRE(!reply);
    CHECK(reply.error().message.find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE("a forked child sends over a connection of its own") {
    RawServer server([](int descriptor, const std::atomic<bool>& stopping) {
        // Answers each request that ends with "end", for as long as the client stays.
        std::string seen;
        char buffer[1'024];
        while (!stopping) {
            pollfd waited = {descriptor, POLLIN, 0};
            if (::poll(&waited, 1, 5) <= 0) continue;
            const ssize_t n = ::recv(descriptor, buffer, sizeof buffer, 0);
            if (n <= 0) return;
            seen.append(buffer, static_cast<size_t>(n));
            if (!seen.ends_with("end")) continue;
            seen.clear();
            RawServer::write(descriptor, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            return;
        }
    });
    Client client(options_for(server.url(), Protocol::kHttpProtobuf));
    REQUIRE(client.send(5'000, "end"));
    const pid_t child = ::fork();
    if (child == 0) {
        const bool is_sent = client.send(5'000, "end").has_value();
        client.made->interrupt();
        ::_exit(is_sent ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(client.send(5'000, "end"));  // the child's interrupt was its own
    CHECK(server.connections == 3);
}
