#include <chrono>
#include <condition_variable>
#include <mutex>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "sampling/forwarder.h"
#include "send/test_server.h"

// The sender of a target, before servers that mean ill.
namespace spanloom::sampling {
namespace {

constexpr uint32_t kTimeoutMs = 150;
constexpr uint64_t kMsMax = 3'000;  // on a busy machine

struct Sent {
    send::Attempt attempt;
    uint64_t ms = 0;
};

Sent send_to(const std::string& url, send::Protocol protocol) {
    SystemClock clock;
    ForwardOptions options;
    options.endpoint = url;
    options.protocol = protocol;
    std::mutex mutex;
    std::condition_variable wake;
    bool is_done = false;
    auto sender = make_otlp_sender(
        options, clock,
        [&] {
            const std::lock_guard lock(mutex);
            is_done = true;
            wake.notify_all();
        },
        kTimeoutMs);
    REQUIRE_MESSAGE(sender.has_value(), (sender ? "" : sender.error().message));
    const uint64_t started_ns = clock.monotonic_ns();
    (*sender)->begin("");
    std::unique_lock lock(mutex);
    REQUIRE(wake.wait_for(lock, std::chrono::milliseconds(2 * kMsMax), [&] { return is_done; }));
    const uint64_t ms = (clock.monotonic_ns() - started_ns) / 1'000'000;
    auto attempt = (*sender)->result();
    REQUIRE(attempt.has_value());
    return {std::move(*attempt), ms};
}

constexpr send::Protocol kAll[] = {send::Protocol::kGrpc, send::Protocol::kHttpProtobuf,
                                   send::Protocol::kHttpJson};
constexpr send::Protocol kHttp[] = {send::Protocol::kHttpProtobuf, send::Protocol::kHttpJson};

void wait_for_request(int descriptor) {
    char buffer[4'096];
    (void)::recv(descriptor, buffer, sizeof buffer, 0);
}

}  // namespace

TEST_CASE("a target that hangs costs one timeout, and has refused nothing") {
    send::RawServer server(send::RawServer::swallow);
    for (const send::Protocol protocol : kAll) {
        const Sent sent = send_to(server.url(), protocol);
        CHECK_FALSE(sent.attempt.reply);
        CHECK(sent.attempt.is_retryable);
        CHECK_FALSE(sent.attempt.is_answered);
        CHECK(sent.ms >= kTimeoutMs);
        CHECK(sent.ms < kMsMax);
    }
}

TEST_CASE("a target that answers a byte at a time costs one timeout") {
    send::RawServer server([](int descriptor, const std::atomic<bool>& stopping) {
        wait_for_request(descriptor);
        const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        for (size_t at = 0; !stopping; ++at) {
            const char byte = at < answer.size() ? answer[at] : 'x';
            if (::send(descriptor, &byte, 1, MSG_NOSIGNAL) != 1) return;
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    for (const send::Protocol protocol : kHttp) {
        const Sent sent = send_to(server.url(), protocol);
        CHECK_FALSE(sent.attempt.reply);
        CHECK(sent.attempt.is_retryable);
        CHECK(sent.ms < kMsMax);
    }
}

TEST_CASE("an answer without end is not read to its end") {
    std::atomic<uint64_t> written = 0;
    {
        send::RawServer server([&](int descriptor, const std::atomic<bool>& stopping) {
            wait_for_request(descriptor);
            send::RawServer::write(descriptor,
                                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
            while (!stopping && ::send(descriptor, chunk.data(), chunk.size(), MSG_NOSIGNAL) > 0)
                written += chunk.size();
        });
        const Sent sent = send_to(server.url(), send::Protocol::kHttpProtobuf);
        CHECK_FALSE(sent.attempt.reply);
        CHECK(sent.ms < kMsMax);
    }
    CHECK(written < 32U << 20);  // 4 MiB are read, and sockets have buffers
}

TEST_CASE("where a target sends elsewhere nothing is sent") {
    std::atomic<int> followed = 0;
    send::RawServer elsewhere([&](int, const std::atomic<bool>&) { ++followed; });
    send::RawServer server([&](int descriptor, const std::atomic<bool>&) {
        wait_for_request(descriptor);
        send::RawServer::write(
            descriptor, fmt::format("HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/v1/traces\r\n"
                                    "Content-Length: 0\r\n\r\n",
                                    elsewhere.url()));
    });
    for (const send::Protocol protocol : kHttp) {
        const Sent sent = send_to(server.url(), protocol);
        CHECK_FALSE(sent.attempt.reply);
        CHECK(sent.attempt.is_answered);
    }
    CHECK(followed == 0);
}

}  // namespace spanloom::sampling
