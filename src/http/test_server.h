#pragma once

// For the tests of this folder: a server on a port of its own, and a client that says exactly the
// bytes it is told to.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server.h"

namespace spanloom::http {

inline void echo(Request request, const std::shared_ptr<Responder>& responder) {
    if (request.is_grpc()) {
        auto message = parse_grpc_body(request.body);
        responder->send(message ? grpc_reply(std::to_string(message->message.size()))
                                : error_reply(message.error(), "application/grpc"));
        return;
    }
    Response response;
    response.headers.add("content-type", "text/plain");
    response.body = request.method + " " + request.path + " " + std::string(request.body.view());
    responder->send(std::move(response));
}

struct TestServer {
    explicit TestServer(ServerLimits limits = {}, Handler handler = echo, TlsFiles tls = {},
                        size_t budget_bytes = 64U << 20)
        : budget(budget_bytes) {
        auto made = Server::create(limits, 2, budget, metrics);
        REQUIRE(made);
        server = std::move(*made);
        Endpoint endpoint;
        endpoint.name = "test";
        endpoint.host = "127.0.0.1";
        endpoint.tls = std::move(tls);
        endpoint.handler = std::move(handler);
        auto bound = server->listen(std::move(endpoint));
        REQUIRE(bound);
        port = *bound;
        server->start();
    }
    bool counted(std::string_view series, uint64_t value) const {
        const std::string line =
            "spanloom_" + std::string(series) + " " + std::to_string(value) + "\n";
        return metrics.render().find(line) != std::string::npos;
    }
    bool refused(std::string_view reason, uint64_t value = 1) const {
        return counted(
            "http_refused_total{endpoint=\"test\",reason=\"" + std::string(reason) + "\"}", value);
    }

    MemoryBudget budget;
    MetricsRegistry metrics;
    std::unique_ptr<Server> server;
    uint16_t port = 0;
};

// A blocking TCP client. Reads give up after five seconds, which fails the test.
class RawClient {
  public:
    explicit RawClient(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in to = {};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
        const int one = 1;  // else a small frame waits for the last one's acknowledgement
        setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        const timeval limit = {5, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    ~RawClient() { close(); }
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;

    // False once the server has closed.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<size_t>(n));
        }
        return true;
    }
    // What comes next; "" at the end.
    std::string receive() {
        char buffer[65536];
        const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
        timed_out_ = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
    }
    std::string receive_until(std::string_view end) {
        std::string all;
        while (all.find(end) == std::string::npos) {
            const std::string more = receive();
            if (more.empty()) break;
            all += more;
        }
        return all;
    }
    // Everything until the server closes, which it must.
    std::string receive_all() {
        std::string all;
        for (;;) {
            const std::string more = receive();
            if (more.empty()) break;
            all += more;
        }
        CHECK_MESSAGE(!timed_out_, "the server did not close the connection");
        return all;
    }
    std::string ask(std::string_view bytes) {
        send(bytes);
        return receive_all();
    }
    void end_sending() { ::shutdown(socket_, SHUT_WR); }
    void close() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
    }
    int socket() const { return socket_; }

  private:
    int socket_;
    bool timed_out_ = false;
};

}  // namespace spanloom::http
