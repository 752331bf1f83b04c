// `spanloom serve`: puts the parts together, and takes them apart in order.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/head_sampling.h"
#include "api/jaeger_ui.h"
#include "api/remote_write.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/io.h"
#include "base/log.h"
#include "base/memory_budget.h"
#include "base/metrics.h"
#include "base/periodic.h"
#include "base/random.h"
#include "http/server.h"
#include "insight/edge_counts.h"
#include "main/commands.h"
#include "main/freed_memory.h"
#include "main/scrape.h"
#include "main/terminal.h"
#include "main/version.h"
#include "receive/jaeger_receiver.h"
#include "receive/otlp_receiver.h"
#include "receive/quota.h"
#include "receive/zipkin_receiver.h"
#include "rollup/operation_rollup.h"
#include "sampling/forwarder.h"
#include "sampling/head_sampler.h"
#include "sampling/keeper.h"
#include "store/store.h"

namespace spanloom {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

sigset_t end_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

// Before any thread starts: they inherit what is blocked, so that only sigwait sees the signals.
void prepare_process() {
    const sigset_t set = end_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGHUP, SIG_IGN);
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // On a cold disk the first question would wait for the program page by page.
    if (const int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); program >= 0) {
        (void)posix_fadvise(program, 0, 0, POSIX_FADV_WILLNEED);
        close(program);
    }
}

// The other half of the cores receives, logs, flushes and answers.
uint32_t shards_of(const Config& config) {
    constexpr uint32_t kShardsMax = 8;
    if (config.store_shards > 0) return static_cast<uint32_t>(config.store_shards);
    return std::clamp(std::thread::hardware_concurrency() / 2, 1U, kShardsMax);
}

store::StoreOptions store_options(const Config& config) {
    store::StoreOptions options;
    options.memory_bytes_max = config.store_memory_bytes;
    options.shards = shards_of(config);
    options.flush_bytes = config.store_memory_bytes / 2;
    options.cache_bytes_max = config.query_cache_bytes;
    options.flush_after_ms = config.flush_after_ns / kNsPerMs;
    options.log_bytes_max = config.log_bytes_max;
    options.merge_bytes_per_s = config.merge_bytes_per_s;
    options.retention_ms = config.retention_ns / kNsPerMs;
    options.retention_bytes = config.retention_bytes;
    options.decisions_ms = config.decisions_ns / kNsPerMs;
    options.counts_short_ms = config.counts_short_ns / kNsPerMs;
    options.counts_minutes_ms = config.counts_minutes_ns / kNsPerMs;
    options.counts_ms = config.counts_ns / kNsPerMs;
    options.disk_used_max = config.disk_used_max;
    options.disk_free_bytes_min = config.disk_free_bytes_min;
    options.reserve_bytes = config.reserve_bytes;
    options.shutdown_ms = config.shutdown_ns / kNsPerMs;
    options.rollup = make_operation_rollup();
    options.counting = insight::make_span_counting();
    return options;
}

// None where the configuration says nothing of it.
Result<std::optional<sampling::KeepRules>> keep_rules(const Config& config) {
    const bool is_default =
        config.keep.empty() && config.recent_for_ns == 0 && config.recent_bytes == 0;
    if (is_default) return std::optional<sampling::KeepRules>();
    TRY_ASSIGN(sampling::KeepRules rules, keep_rules_of(config));
    return std::optional(std::move(rules));
}

Result<std::optional<sampling::HeadStrategies>> head_strategies(const Config& config) {
    if (config.head_sampling.empty()) return std::optional<sampling::HeadStrategies>();
    TRY_ASSIGN(auto strategies, sampling::parse_head_strategies(config.head_sampling));
    return std::optional(std::move(strategies));
}

// Null where there is none.
Result<std::shared_ptr<const api::JaegerUi>> jaeger_ui(const Config& config) {
    if (config.jaeger_ui.empty()) return std::shared_ptr<const api::JaegerUi>();
    auto ui = api::JaegerUi::read(config.jaeger_ui, kVersion);
    if (!ui) return fail(ui.error().code, "listen.jaeger_ui: {}", ui.error().message);
    return ui;
}

std::vector<api::SettingInForce> settings_in_force(const Config& config) {
    const std::vector<SettingText> defaults = describe_settings(Config());
    std::vector<SettingText> now = describe_settings(config);
    std::vector<api::SettingInForce> out;
    for (size_t i = 0; i < now.size(); ++i) {
        const bool is_default = now[i].value == defaults[i].value;
        out.push_back(
            {std::move(now[i].key), std::move(now[i].value), std::move(now[i].text), is_default});
    }
    return out;
}

// One port: which flag names it, where it is, what it does.
struct Port {
    const char* name;
    const std::string* address;
    http::Handler handler;
    const char* text;
};

// Everything that runs, in the order in which it is made; destroyed the other way round.
class Program {
  public:
    explicit Program(const Config& config)
        : config_(config),
          random_(random_seed()),
          forward_random_(random_seed()),
          request_budget_(config.request_memory_bytes + config.request_bytes_max) {}

    Result<void> start();
    void stop(uint32_t grace_ms);

  private:
    Result<void> start_forwarding();
    Result<void> listen(const Port& port);
    Result<void> listen_for_datagrams();
    Result<void> listen_for_otlp();
    Result<void> start_sampling();
    Result<void> start_remote_write(const http::Handler& queries);
    http::Handler zipkin_port(http::Handler queries);
    http::Handler jaeger_port(http::Handler sampling);
    ReceiveOptions receive_options() const;
    ReceiveParts receive_parts();
    Result<void> readiness() const;

    const Config& config_;
    MetricsRegistry metrics_;
    SystemClock clock_;
    SeededRandom random_;
    SeededRandom forward_random_;
    MemoryBudget request_budget_;
    std::unique_ptr<Io> io_;
    std::shared_ptr<sampling::Keeper> keeper_;  // the store's ageing holds it as well
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<sampling::HeadSampler> head_sampler_;
    std::unique_ptr<sampling::Forwarder> forwarder_;
    std::unique_ptr<ServiceQuotas> quotas_;
    std::unique_ptr<Executor> receive_pool_;
    std::unique_ptr<Executor> helper_pool_;
    std::unique_ptr<Executor> query_pool_;
    std::unique_ptr<http::Server> server_;
    std::vector<std::unique_ptr<JaegerDatagrams>> datagrams_;
    std::unique_ptr<Periodic> every_second_;
    std::unique_ptr<Periodic> freed_memory_;
    std::stop_source remote_stop_;
    std::vector<std::unique_ptr<api::RemoteWriter>> remote_writers_;
    std::vector<std::unique_ptr<Periodic>> remote_writing_;
    std::atomic<bool> is_stopping_ = false;
    std::string otlp_grpc_;  // as bound
    std::string otlp_http_;
    std::string http_;
};

ReceiveOptions Program::receive_options() const {
    ReceiveOptions receive;
    receive.inflated_bytes_max = config_.request_bytes_max;
    receive.cors_origins = config_.cors_origins;
    receive.span_limits.attributes_max = static_cast<uint32_t>(config_.attributes_max);
    receive.span_limits.value_bytes_max = static_cast<uint32_t>(config_.value_bytes_max);
    return receive;
}

ReceiveParts Program::receive_parts() {
    return {*store_, clock_, request_budget_, metrics_, *receive_pool_, quotas_.get()};
}

// Spans come in and questions are answered on one port, as Zipkin's server does.
http::Handler Program::zipkin_port(http::Handler queries) {
    return [queries = std::move(queries),
            spans = make_zipkin_handler(receive_parts(), receive_options())](
               http::Request request, std::shared_ptr<http::Responder> responder) {
        const http::Handler& handler = is_zipkin_send(request) ? spans : queries;
        handler(std::move(request), std::move(responder));
    };
}

// As Jaeger's collector: clients that send spans there ask there how to sample.
http::Handler Program::jaeger_port(http::Handler sampling) {
    return [sampling = std::move(sampling),
            spans = make_jaeger_handler(receive_parts(), receive_options())](
               http::Request request, std::shared_ptr<http::Responder> responder) {
        const http::Handler& handler = api::is_sampling_question(request) ? sampling : spans;
        handler(std::move(request), std::move(responder));
    };
}

Result<void> Program::listen_for_otlp() {
    const http::Handler otlp = make_otlp_handler(receive_parts(), receive_options());
    TRY(listen({"otlp-grpc", &config_.otlp_grpc, otlp, "OTLP over gRPC"}));
    return listen({"otlp-http", &config_.otlp_http, otlp, "OTLP over HTTP"});
}

Result<void> Program::listen_for_datagrams() {
    struct Place {
        const char* name;
        const std::string& address;
        JaegerDatagram protocol;
        const char* text;
    };
    for (const Place& place :
         {Place{"jaeger-compact", config_.jaeger_compact, JaegerDatagram::kCompact,
                "datagrams of Jaeger clients, compact Thrift"},
          Place{"jaeger-binary", config_.jaeger_binary, JaegerDatagram::kBinary,
                "datagrams of Jaeger clients, binary Thrift"}}) {
        if (place.address.empty()) continue;
        TRY_ASSIGN(const HostPort at, parse_host_port(place.address));
        TRY_ASSIGN(auto listener, JaegerDatagrams::listen(at.host, at.port, place.protocol,
                                                          receive_parts(), receive_options()));
        fmt::print("  {:<14} {:<22} {}\n", place.name,
                   fmt::format("{}:{}", at.host, listener->port()), place.text);
        datagrams_.push_back(std::move(listener));
    }
    return {};
}

Result<void> Program::listen(const Port& port) {
    if (port.address->empty()) return {};
    TRY_ASSIGN(const HostPort at, parse_host_port(*port.address));
    http::Endpoint endpoint;
    endpoint.name = port.name;
    endpoint.host = at.host;
    endpoint.port = at.port;
    endpoint.tls = {config_.tls_certificate, config_.tls_key, config_.tls_client_ca};
    endpoint.handler = port.handler;
    TRY_ASSIGN(const uint16_t bound, server_->listen(std::move(endpoint)));
    const std::string shown = fmt::format(
        "{}:{}", at.host.find(':') == std::string::npos ? at.host : "[" + at.host + "]", bound);
    if (std::string_view(port.name) == "otlp-grpc") otlp_grpc_ = shown;
    if (std::string_view(port.name) == "otlp-http") otlp_http_ = shown;
    if (std::string_view(port.name) == "http") http_ = shown;
    fmt::print("  {:<14} {:<22} {}\n", port.name, shown, port.text);
    return {};
}

Result<void> Program::readiness() const {
    if (is_stopping_) return fail(ErrorCode::kUnavailable, "spanloom is ending");
    const store::StoreState state = store_->state();
    if (state.is_read_only)
        return fail(ErrorCode::kUnavailable, "the store is read-only: {}", state.reason);
    return {};
}

Result<void> Program::start_sampling() {
    TRY_ASSIGN(auto rules, keep_rules(config_));
    SeededRandom keys(random_seed());
    TRY_ASSIGN(keeper_, sampling::Keeper::start(*store_, clock_, keys, metrics_, std::move(rules)));
    TRY_ASSIGN(auto strategies, head_strategies(config_));
    const auto count = [this](store::TimeRange range) {
        return sampling::count_roots(*store_, "default", range);
    };
    TRY_ASSIGN(head_sampler_, sampling::HeadSampler::start(store_->documents(), clock_, metrics_,
                                                           std::move(strategies), count));
    return {};
}

Result<void> Program::start_remote_write(const http::Handler& queries) {
    if (config_.remote_write.empty()) return {};
    constexpr uint32_t kStepMs = 200;
    TRY_ASSIGN(auto targets, api::parse_remote_write(config_.remote_write));
    for (api::RemoteWriteTarget& target : targets) {
        TRY_ASSIGN(auto sender, api::make_remote_write_sender(target, clock_));
        remote_writers_.push_back(std::make_unique<api::RemoteWriter>(
            std::move(target), std::move(sender),
            [queries, stop = remote_stop_.get_token()] {
                // With exemplars.
                return scrape(queries, "/metrics/red", "application/openmetrics-text", stop);
            },
            clock_, std::make_unique<SeededRandom>(random_seed()), metrics_));
        remote_writing_.push_back(std::make_unique<Periodic>(
            "remote write", kStepMs, [writer = remote_writers_.back().get()] {
                writer->step();
                return kStepMs;
            }));
    }
    return {};
}

// Before anything arrives.
Result<void> Program::start_forwarding() {
    TRY_ASSIGN(auto targets, forward_of(config_));
    sampling::ForwardTarget::Limits limits;
    limits.history_ns = config_.decisions_ns;
    TRY_ASSIGN(forwarder_,
               sampling::Forwarder::start(std::move(targets),
                                          {.store = *store_,
                                           .io = *io_,
                                           .clock = clock_,
                                           .random = forward_random_,
                                           .metrics = metrics_,
                                           .background = sampling::Forwarder::Background::kThreads,
                                           .make_sender = nullptr},
                                          limits));
    return {};
}

Result<void> Program::start() {
    TRY_ASSIGN(const auto jaegers_own, jaeger_ui(config_));
    auto io = open_posix_io(config_.data);
    if (!io)
        return fail(io.error().code, "cannot use {} as the data directory: {}", config_.data,
                    io.error().message);
    io_ = std::move(*io);
    TRY_ASSIGN(store_, store::Store::open(store_options(config_), *io_, clock_, random_, metrics_));
    TRY(start_sampling());
    TRY(start_forwarding());
    std::vector<ServiceQuota> quotas;
    for (const std::string& text : config_.quotas) {
        TRY_ASSIGN(quotas.emplace_back(), parse_quota(text));
    }
    // Requests in flight are what one sender could take from the others.
    const auto pressure = [this] {
        return static_cast<double>(request_budget_.used_bytes()) /
               static_cast<double>(request_budget_.limit_bytes());
    };
    quotas_ = std::make_unique<ServiceQuotas>(std::move(quotas), pressure, clock_, metrics_);
    const size_t cores = std::max(1U, std::thread::hardware_concurrency());
    receive_pool_ = make_thread_pool(1, "receive");
    // Beside receiving, queries take what is left of the cores.
    constexpr int kQueryNiceness = 5;
    query_pool_ = make_thread_pool(config_.query_threads, "query", kQueryNiceness);
    helper_pool_ = make_thread_pool(cores, "query help", kQueryNiceness);
    http::ServerLimits limits;
    limits.body_bytes_max = config_.request_bytes_max;
    limits.connections_max = static_cast<uint32_t>(config_.connections_max);
    TRY_ASSIGN(server_,
               http::Server::create(limits, std::min<size_t>(cores, 4), request_budget_, metrics_));
    fmt::print("spanloom {}, data in {}\n", kVersion, printable(config_.data));
    TRY(listen_for_otlp());
    const auto queries = [&](api::Face face) {
        api::ApiOptions options{
            .store = *store_,
            .queries = *query_pool_,
            .helpers = helper_pool_.get(),
            .metrics = metrics_,
            .clock = clock_,
            .boot = {std::string(kVersion), otlp_grpc_, otlp_http_},
            .jaeger_ui = face == api::Face::kAll ? jaegers_own : nullptr,
            .readiness = [this] { return readiness(); },
            .spans_rejected = [this] { return metrics_.total("rejected_spans_total"); },
            .limits = {},
            .face = face,
            .host_names = config_.host_names,
            .settings = settings_in_force(config_),
            .disk_space = [this] { return io_->space(); },
            .disk_used_max = config_.disk_used_max,
            .keeper = keeper_.get(),
            .head_sampler = head_sampler_.get(),
            .forwarder = forwarder_.get()};
        options.limits.helpers = static_cast<uint32_t>(cores - 1);
        options.limits.memory_bytes_max = config_.query_memory_bytes;
        options.limits.deadline_ms = static_cast<uint32_t>(config_.query_timeout_ns / kNsPerMs);
        return api::make_api(std::move(options));
    };
    const http::Handler all = queries(api::Face::kAll);
    TRY(listen({"http", &config_.http, all,
                jaegers_own ? "web UI and query APIs; Jaeger's UI below /jaeger/"
                            : "web UI and query APIs"}));
    TRY(listen({"tempo", &config_.tempo, queries(api::Face::kTempo), "Tempo API"}));
    TRY(listen({"zipkin", &config_.zipkin, zipkin_port(queries(api::Face::kZipkin)),
                "Zipkin spans and queries"}));
    const http::Handler sampling = queries(api::Face::kSampling);
    TRY(listen({"sampling", &config_.sampling, sampling, "how clients sample"}));
    const http::Handler jaeger = jaeger_port(sampling);
    TRY(listen({"jaeger", &config_.jaeger, jaeger, "Jaeger Thrift over HTTP"}));
    TRY(listen({"jaeger-grpc", &config_.jaeger_grpc, jaeger, "Jaeger over gRPC"}));
    TRY(listen_for_datagrams());
    every_second_ = std::make_unique<Periodic>("every second", 1000, [this] {
        head_sampler_->tick();
        return 1000;
    });
    FreedMemory freed([this] { return store_->state().memory_bytes; });
    freed_memory_ =
        std::make_unique<Periodic>("freed memory", FreedMemory::kLookEveryMsMin,
                                   [freed = std::move(freed)]() mutable { return freed.look(); });
    TRY(start_remote_write(all));
    server_->start();
    if (!config_.http.empty() && config_.tls_certificate.empty())
        fmt::print("open http://{} in a browser\n", http_);
    fmt::print("ready\n");
    std::fflush(stdout);
    return {};
}

void Program::stop(uint32_t grace_ms) {
    is_stopping_ = true;
    datagrams_.clear();
    every_second_.reset();
    remote_stop_.request_stop();
    for (const auto& writer : remote_writers_)
        writer->interrupt();
    remote_writing_.clear();
    if (server_) server_->stop(grace_ms);
    query_pool_.reset();
    helper_pool_.reset();
    receive_pool_.reset();
}

}  // namespace

int run_serve(const Config& config) {
    prepare_process();
    Program program(config);
    if (auto started = program.start(); !started) return report(started.error());
    const sigset_t set = end_signals();
    int signal = 0;
    sigwait(&set, &signal);
    log::info("ending: requests in flight are finished, then everything is written to disk");
    // A second signal ends the waiting, never the flush: it must not cost what was acknowledged a
    // long replay.
    const auto grace_ms = static_cast<uint32_t>(config.shutdown_ns / kNsPerMs / 2);
    std::jthread stopper([&] { program.stop(grace_ms); });
    return 0;
}

}  // namespace spanloom
