// `spanloom demo`: the traces of a small shop, sent to a server as any SDK would.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <ctime>

#include <fmt/format.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "main/commands.h"
#include "main/demo_load.h"
#include "main/terminal.h"
#include "send/otlp_client.h"

namespace spanloom {
namespace {

constexpr uint64_t kNsPerS = 1'000'000'000;
constexpr uint64_t kTickNs = kNsPerS / 2;  // one request each
constexpr uint32_t kHistoryRequestSpans = 512;

// Waits for the time to pass or for a signal to end; true: end.
bool wait_or_end(uint64_t ns) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    const timespec time{static_cast<time_t>(ns / kNsPerS), static_cast<long>(ns % kNsPerS)};
    return sigtimedwait(&set, nullptr, &time) > 0;
}

void block_end_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// A request that is not taken by then is given up.
uint64_t deadline(const Clock& clock) {
    return clock.monotonic_ns() + 30 * kNsPerS;
}

Result<send::Protocol> parse_protocol(const std::string& name) {
    if (name == "grpc") return send::Protocol::kGrpc;
    if (name == "http/protobuf") return send::Protocol::kHttpProtobuf;
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is not a protocol of the demo: use grpc or http/protobuf", printable(name));
}

// Spans spread over the past, so that charts and search have something from the first second.
Result<uint64_t> send_history(send::OtlpClient& client, DemoLoad& load, const DemoOptions& options,
                              const Clock& clock) {
    const uint64_t now_ns = clock.wall_ns();
    const double spans = options.spans_per_s * static_cast<double>(options.history_ns) / 1e9;
    const auto requests = static_cast<uint64_t>(std::ceil(spans / kHistoryRequestSpans));
    for (uint64_t i = 0; i < requests; ++i) {
        const uint64_t at_ns = now_ns - options.history_ns + options.history_ns * i / requests;
        TRY(client.export_spans(load.next_request(at_ns, kHistoryRequestSpans), deadline(clock)));
        if (wait_or_end(0)) break;
    }
    return static_cast<uint64_t>(spans);
}

Result<void> send_until_ended(send::OtlpClient& client, DemoLoad& load, const DemoOptions& options,
                              const Clock& clock) {
    const uint64_t start_ns = clock.monotonic_ns();
    uint64_t sent_spans = 0;
    bool was_failing = false;
    while (options.duration_ns == 0 || clock.monotonic_ns() - start_ns < options.duration_ns) {
        const double elapsed_s =
            static_cast<double>(clock.monotonic_ns() - start_ns + kTickNs) / 1e9;
        const auto due = static_cast<uint64_t>(elapsed_s * options.spans_per_s);
        const auto count =
            static_cast<uint32_t>(std::clamp<uint64_t>(due - std::min(due, sent_spans), 1, 20'000));
        sent_spans = due;
        auto sent = client.export_spans(load.next_request(clock.wall_ns(), count), deadline(clock));
        if (!sent && !was_failing)
            log::warning("the demo load does not arrive: {}", sent.error().message);
        if (sent && was_failing) log::info("the demo load arrives again");
        was_failing = !sent;
        if (wait_or_end(kTickNs)) break;
    }
    return {};
}

Result<void> wait_for_server(send::OtlpClient& client, const std::string& endpoint,
                             const Clock& clock) {
    constexpr int kTriesMax = 300;  // of 200 ms: a minute
    for (int i = 0; i < kTriesMax; ++i) {
        if (client.export_spans("", clock.monotonic_ns() + kNsPerS))
            return {};  // an empty request is a success
        if (wait_or_end(kNsPerS / 5))
            return fail(ErrorCode::kCancelled, "ended before the server was there");
    }
    return fail(ErrorCode::kUnavailable, "no server came up at {} within a minute", endpoint);
}

Result<void> run(const DemoOptions& options) {
    SystemClock clock;
    const uint64_t seed = options.seed != 0 ? options.seed : random_seed();
    SeededRandom random(seed);
    SeededRandom jitter(seed + 1);
    send::OtlpClientOptions client_options;
    client_options.endpoint = options.endpoint;
    client_options.user_agent = "spanloom-demo";
    TRY_ASSIGN(client_options.protocol, parse_protocol(options.protocol));
    TRY_ASSIGN(auto client, send::OtlpClient::create(client_options, clock, jitter));
    DemoLoad load(random);
    if (options.wait_for_server) TRY(wait_for_server(*client, options.endpoint, clock));
    if (options.history_ns > 0) {
        TRY_ASSIGN(const uint64_t spans, send_history(*client, load, options, clock));
        fmt::print("sent {} spans of the past {} minutes to {}\n", spans,
                   options.history_ns / (60 * kNsPerS), options.endpoint);
    }
    fmt::print("sending about {} spans per second; stop with Ctrl-C\n", options.spans_per_s);
    std::fflush(stdout);
    return send_until_ended(*client, load, options, clock);
}

}  // namespace

int run_demo(const DemoOptions& options) {
    block_end_signals();
    std::signal(SIGPIPE, SIG_IGN);
    auto done = run(options);
    return done ? 0 : report(done.error());
}

}  // namespace spanloom
