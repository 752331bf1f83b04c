#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "send/endpoint.h"
#include "send/interrupt.h"
#include "send/pieces.h"
#include "send/resolver.h"
#include "send/tls.h"

namespace spanloom::send {

// A connected TCP socket, with TLS over it where the endpoint asks for that, driven by poll() on
// the caller's thread. Deadlines are in the clock's monotonic time. One thread.
class Connection {
  public:
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // As many bytes as are there now; 0: none. kUnavailable where the server has closed.
    Result<size_t> read_some(char* to, size_t size);
    // At least one byte.
    Result<size_t> read(char* to, size_t size, uint64_t deadline_ns);
    // As many as the kernel takes now; 0: none.
    Result<size_t> write_some(const iovec* parts, size_t count);
    Result<void> write_all(const Pieces& pieces, uint64_t deadline_ns);
    enum class Wait : uint8_t { kRead, kWrite, kReadOrWrite };
    Result<void> wait(Wait wait, uint64_t deadline_ns);
    // In a forked child: the server must not hear of the end, the parent goes on talking.
    void abandon();

  private:
    friend class Connector;
    Connection(int descriptor, std::string name, const Clock& clock, const Interrupt& interrupt)
        : descriptor_(descriptor), name_(std::move(name)), clock_(clock), interrupt_(interrupt) {}

    Result<void> finish_connect(uint64_t deadline_ns);
    Result<void> handshake(std::unique_ptr<TlsStream> tls, uint64_t deadline_ns);

    int descriptor_;
    std::string name_;
    const Clock& clock_;
    const Interrupt& interrupt_;
    std::unique_ptr<TlsStream> tls_;
};

// Opens connections to one endpoint. One thread.
class Connector {
  public:
    // `tls`: null for an endpoint without TLS. Clock and interrupt must outlive it.
    Connector(Endpoint endpoint, std::unique_ptr<TlsClient> tls, const Clock& clock,
              const Interrupt& interrupt)
        : endpoint_(std::move(endpoint)),
          tls_(std::move(tls)),
          clock_(clock),
          interrupt_(interrupt) {}

    const Endpoint& endpoint() const { return endpoint_; }
    Result<std::unique_ptr<Connection>> connect(Alpn alpn, uint64_t deadline_ns);
    void after_fork() { resolver_.forget(); }

  private:
    Result<std::unique_ptr<Connection>> connect_to(const Address& address, uint64_t deadline_ns);

    Endpoint endpoint_;
    std::unique_ptr<TlsClient> tls_;
    const Clock& clock_;
    const Interrupt& interrupt_;
    Resolver resolver_;
};

}  // namespace spanloom::send
