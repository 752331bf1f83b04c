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
#include "send/endpoint.h"
#include "send/socket.h"

namespace spanloom::send {

// What a server answered. `code` empty: it took the request.
struct Answer {
    std::optional<Error> refusal;
    bool is_retryable = false;
    std::optional<uint64_t> server_wait_ms;
    std::string body;  // the serialised ExportTraceServiceResponse
};

enum class Coding : uint8_t { kIdentity, kGzip };

struct ExchangeOptions {
    Endpoint endpoint;  // its path is the request's
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
    virtual Result<Answer> call(std::string_view body, Coding coding, uint64_t deadline_ns) = 0;
};

std::unique_ptr<Exchange> make_http_exchange(ExchangeOptions options, const Clock& clock,
                                             const Interrupt& interrupt);
std::unique_ptr<Exchange> make_grpc_exchange(ExchangeOptions options, const Clock& clock,
                                             const Interrupt& interrupt);

}  // namespace spanloom::send
