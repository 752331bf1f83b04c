#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "send/connection.h"
#include "send/pieces.h"

namespace spanloom::send {

// What a server answered. `code` empty: it took the request.
struct Answer {
    std::optional<Error> refusal;
    bool is_retryable = false;
    std::optional<uint64_t> server_wait_ms;
    std::string body;  // the ExportTraceServiceResponse
    bool is_json = false;
    int status = 0;  // HTTP's
};

enum class Coding : uint8_t { kIdentity, kGzip };

struct ExchangeOptions {
    std::string content_type;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string user_agent;
};

// No reply of an OTLP server is longer (the specification's limit).
constexpr size_t kAnswerBytesMax = 4U << 20;

// One request and its answer over a connection that is kept for the next one. An error means that
// no answer came. One thread.
class Exchange {
  public:
    virtual ~Exchange() = default;
    virtual Result<Answer> call(const Pieces& body, Coding coding, uint64_t deadline_ns) = 0;
    // In a forked child: lets go of the connection, which is the parent's.
    virtual void after_fork() = 0;
};

// The endpoint's path is the request's. The connector and the clock must outlive the exchange.
std::unique_ptr<Exchange> make_http_exchange(ExchangeOptions options, Connector& connector,
                                             const Clock& clock);
std::unique_ptr<Exchange> make_grpc_exchange(ExchangeOptions options, Connector& connector,
                                             const Clock& clock);

}  // namespace spanloom::send
