#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "send/pieces.h"
#include "send/retry.h"
#include "send/tls.h"

namespace spanloom::send {

enum class Protocol : uint8_t { kGrpc, kHttpProtobuf, kHttpJson };

struct OtlpClientOptions {
    // "http://host:port", or https://. For HTTP without a path, not even "/", it is
    // /v1/traces.
    std::string endpoint = "http://localhost:4317";
    Protocol protocol = Protocol::kGrpc;
    uint32_t timeout_ms = 10'000;  // of one attempt
    bool gzip = false;
    std::vector<std::pair<std::string, std::string>> headers;  // for every request
    TlsOptions tls;
    RetryPolicy retry;
    std::string user_agent = "OTel-OTLP-Exporter-spanloom/0.1.0";
};

// What the specification lets a client send at most, uncompressed.
constexpr size_t kRequestBytesMax = 64U << 20;

// What a server that took a request says about it.
struct ExportReply {
    int64_t rejected_spans = 0;  // refused for good, never to be sent again
    std::string message;         // why, or a warning
    uint32_t attempts = 1;
};

// How one attempt ended.
struct Attempt {
    std::optional<ExportReply> reply;  // none: it failed
    Error error;                       // why
    // The same request may be taken later: the server said so, or was not there.
    bool is_retryable = false;
    bool is_answered = false;  // by the server; or the request is none that can be sent
    std::optional<uint64_t> server_wait_ms;  // what the server asked for
};

// Sends traces by OTLP. Blocks its caller, and uses no thread of its own but to resolve names; one
// thread at a time, but for `interrupt`. Keeps its connection between calls; a forked child opens
// one of its own. Clock and random must outlive it.
class OtlpClient {
  public:
    static Result<std::unique_ptr<OtlpClient>> create(OtlpClientOptions options, const Clock& clock,
                                                      Random& random);
    virtual ~OtlpClient() = default;

    // `request`: a serialised ExportTraceServiceRequest, which is not copied unless it is turned
    // into something else (gzip, TLS, JSON). Refusals that may pass are retried with growing pauses
    // until `deadline_ns` (the clock's monotonic time); nothing goes on after that.
    virtual Result<ExportReply> export_spans(const Pieces& request, uint64_t deadline_ns) = 0;
    Result<ExportReply> export_spans(std::string_view request, uint64_t deadline_ns) {
        return export_spans(Pieces(request), deadline_ns);
    }
    // The same without any retry, for who has pauses of his own.
    virtual Attempt try_export(const Pieces& request, uint64_t deadline_ns) = 0;
    // From any thread: ends the call under way, and every later one, with kCancelled.
    virtual void interrupt() = 0;
};

}  // namespace spanloom::send
