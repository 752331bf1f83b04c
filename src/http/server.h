#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/metrics.h"
#include "http/message.h"

namespace spanloom::http {

// Limits of every listener; each is counted where it is reached.
struct ServerLimits {
    size_t body_bytes_max = 64U << 20;    // as sent; what it inflates to is limited by the reader
    size_t header_bytes_max = 64U << 10;  // all header fields of one request
    size_t write_bytes_max = 4U << 20;    // unsent bytes of one connection before writers wait
    uint32_t streams_max = 256;           // HTTP/2 requests at once on a connection
    uint32_t connections_max = 4096;      // of all listeners together
    uint32_t header_timeout_ms = 10'000;  // from the first byte (or accept) to the whole header
    uint32_t body_timeout_ms = 60'000;    // from the header to the whole body
    uint32_t idle_timeout_ms = 120'000;   // nothing in flight
    uint32_t write_timeout_ms = 60'000;   // a reader that takes nothing
};

// The paths of PEM files. Both empty: plaintext. With a client CA, clients must present a
// certificate it signed.
struct TlsFiles {
    std::string certificate;
    std::string key;
    std::string client_ca;
};

struct Endpoint {
    std::string name;   // "otlp-grpc", for messages and metrics
    std::string host;   // an address or "localhost"
    uint16_t port = 0;  // 0: one the system chooses
    TlsFiles tls;
    Handler handler;
};

// Serves HTTP/1.1, HTTP/2 (prior knowledge, and ALPN over TLS) and so gRPC on every endpoint,
// told apart by the connection's first bytes. Runs on its own io threads. Request bodies are
// reserved from `budget` before they are read; where it has no room the answer is 503 with
// Retry-After (gRPC: UNAVAILABLE with RetryInfo).
class Server {
  public:
    static Result<std::unique_ptr<Server>> create(ServerLimits limits, size_t io_threads,
                                                  MemoryBudget& budget, MetricsRegistry& metrics);
    virtual ~Server() = default;

    // Binds and listens now; requests are handled from `start` on. The bound port.
    virtual Result<uint16_t> listen(Endpoint endpoint) = 0;
    virtual void start() = 0;
    // No new connections or requests (GOAWAY, connection: close); waits for those in flight until
    // `grace_ms` has passed, then closes everything. Idempotent.
    virtual void stop(uint32_t grace_ms) = 0;
};

}  // namespace spanloom::http
