// A server that answers everything, for protocol conformance runs and measurements:
//   http_echo [port] [io threads] [certificate key]
// GET answers a line; POST answers the body's size; gRPC answers an empty message; /stream streams.
// Prints "listening on 127.0.0.1:PORT" and ends on SIGTERM or SIGINT.
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <signal.h>

#include "http/server.h"

using namespace spanloom;

namespace {

void stream_parts(const std::shared_ptr<http::Responder>& responder) {
    responder->begin({});
    for (int i = 0; i < 1'000; ++i) {
        if (!responder->write(std::string(10'000, 'x'))) return;
    }
    responder->finish();
}

void answer(http::Request request, const std::shared_ptr<http::Responder>& responder) {
    if (request.is_grpc()) {
        auto message = http::parse_grpc_body(request.body);
        responder->send(message ? http::grpc_reply({})
                                : http::error_reply(message.error(), "application/grpc"));
        return;
    }
    if (request.path == "/stream") {
        std::thread([responder] { stream_parts(responder); }).detach();
        return;
    }
    http::Response response;
    response.headers.add("content-type", "text/plain");
    response.body = request.method == "POST" && request.path != "/v1/traces"
                        ? std::to_string(request.body.size()) + "\n"
                        : "ok, answered by http_echo\n";
    if (request.path == "/v1/traces") response.body.clear();
    responder->send(std::move(response));
}

}  // namespace

int main(int argc, char** argv) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);

    MemoryBudget budget(256U << 20);
    MetricsRegistry metrics;
    const size_t threads = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    auto server = http::Server::create({}, threads, budget, metrics);
    http::Endpoint endpoint;
    endpoint.name = "echo";
    endpoint.host = "127.0.0.1";
    endpoint.port = argc > 1 ? static_cast<uint16_t>(std::atoi(argv[1])) : 0;
    if (argc > 4) endpoint.tls = {argv[3], argv[4], ""};
    endpoint.handler = answer;
    auto port = (*server)->listen(std::move(endpoint));
    if (!port) {
        std::fprintf(stderr, "http_echo: %s\n", port.error().message.c_str());
        return 1;
    }
    (*server)->start();
    std::printf("listening on 127.0.0.1:%d\n", *port);
    std::fflush(stdout);
    int signal = 0;
    sigwait(&ends, &signal);
    (*server)->stop(2'000);
    std::fputs(metrics.render().c_str(), stderr);
    return 0;
}
