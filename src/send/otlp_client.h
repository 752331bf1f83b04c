#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "send/retry.h"

namespace spanloom::send {

enum class Protocol : uint8_t { kGrpc, kHttpProtobuf };

struct OtlpClientOptions {
    // "http://host:port". For kHttpProtobuf without a path, /v1/traces is asked for.
    std::string endpoint = "http://localhost:4317";
    Protocol protocol = Protocol::kGrpc;
    uint32_t timeout_ms = 10'000;  // of one attempt
    bool gzip = false;
    std::vector<std::pair<std::string, std::string>> headers;  // for every request
    RetryPolicy retry;
    std::string user_agent = "spanloom-otlp-client";
};

// What a server that took a request says about it.
struct ExportReply {
    int64_t rejected_spans = 0;  // refused for good, never to be sent again
    std::string message;         // why, or a warning
    uint32_t attempts = 1;
};

// Sends traces by OTLP. Blocks its caller, and uses no thread of its own; one thread at a time,
// but for `interrupt`. Keeps its connection between calls; clock and random must outlive it.
class OtlpClient {
  public:
    static Result<std::unique_ptr<OtlpClient>> create(OtlpClientOptions options, const Clock& clock,
                                                      Random& random);
    virtual ~OtlpClient() = default;

    // `request`: a serialised ExportTraceServiceRequest. Refusals that may pass are retried with
    // growing pauses until `deadline_ns` (the clock's monotonic time).
    virtual Result<ExportReply> export_spans(std::string_view request, uint64_t deadline_ns) = 0;
    // From any thread: ends the call under way, and every later one, with kCancelled.
    virtual void interrupt() = 0;
};

}  // namespace spanloom::send
