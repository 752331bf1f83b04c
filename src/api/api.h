#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "api/static_files.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/io.h"
#include "base/metrics.h"
#include "base/result.h"
#include "http/message.h"
#include "store/store.h"

namespace spanloom::sampling {
class HeadSampler;
class Forwarder;
class Keeper;
}  // namespace spanloom::sampling

namespace spanloom::api {

class JaegerUi;

// Which addresses a port serves.
enum class Face : uint8_t {
    kAll,       // the UI, its API and every other one
    kTempo,     // Tempo's query API alone, as on its own port
    kZipkin,    // Zipkin's query API alone
    kSampling,  // Jaeger's remote sampling alone
};

// What the UI shows about this server.
struct BootInfo {
    std::string version;
    std::string otlp_grpc;  // "127.0.0.1:4317", as a client on this machine would dial it
    std::string otlp_http;
};

// A setting in force, for people to read.
struct SettingInForce {
    std::string key;    // "retention.for"
    std::string value;  // as it would be written in a configuration
    std::string text;   // what it does
    bool is_default = true;
};

struct QueryLimits {
    uint32_t deadline_ms = 30'000;           // past it an answer is partial
    size_t memory_bytes_max = 64U << 20;     // what one query may gather
    uint32_t helpers = 1;                    // threads that one query may have beside its own
    uint32_t waiting_max = 256;              // questions queued or running before new ones get 429
    uint32_t traces_max = 10'000;            // the largest `limit` of a search that is taken
    uint32_t ui_traces_max = 1'000;          // the same in the UI
    uint64_t trace_cache_bytes = 64U << 20;  // traces kept for the next question: one of 100k spans
    uint64_t large_trace_bytes = 768U << 20;  // one beyond that, while it is asked for
    uint64_t body_bytes_max = 16U << 20;      // of a question, after decompression
};

struct ApiOptions {
    store::Store& store;
    Executor& queries;  // runs every question; answers never block an io thread
    // Reads pieces of the store for questions that read much, a piece of each in turn. None: each
    // question has its own thread alone.
    Executor* helpers = nullptr;
    MetricsRegistry& metrics;
    const Clock& clock;
    BootInfo boot = {};
    std::span<const StaticFile> files = embedded_files();
    std::shared_ptr<const JaegerUi> jaeger_ui = nullptr;  // none: only our own UI is served
    // Ready to receive and answer, or why not.
    std::function<Result<void>()> readiness = {};
    // Spans that senders were told to be bad, since the start.
    std::function<uint64_t()> spans_rejected = {};
    QueryLimits limits = {};
    Face face = Face::kAll;
    // Names, beside localhost and addresses, under which browsers may reach this server.
    std::vector<std::string> host_names = {};
    std::vector<SettingInForce> settings = {};
    // Of the disk that the data lies on.
    std::function<Result<DiskSpace>()> disk_space = {};
    double disk_used_max = 0.8;          // share of it that may be in use (store::StoreOptions)
    sampling::Keeper* keeper = nullptr;  // none: no rules decide what stays
    sampling::HeadSampler* head_sampler = nullptr;   // none: clients are told nothing
    const sampling::Forwarder* forwarder = nullptr;  // none: nothing is sent on
};

// Answers everything asked over HTTP. What `options` refers to must outlive the handler and every
// question posted to `queries`. Any thread.
http::Handler make_api(ApiOptions options);

}  // namespace spanloom::api
