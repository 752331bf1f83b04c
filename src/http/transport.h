#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "http/output_queue.h"

namespace spanloom::http {

enum class IoStatus : uint8_t { kDone, kWantRead, kWantWrite, kEnd, kBroken };

struct IoResult {
    IoStatus status = IoStatus::kDone;
    size_t bytes = 0;
};

// A non-blocking stream of bytes over a connected socket, which it does not own. One thread.
class Transport {
  public:
    virtual ~Transport() = default;
    // kDone until the stream can be used; then always kDone.
    virtual IoStatus handshake() = 0;
    virtual IoResult read(uint8_t* to, size_t size) = 0;
    // Sends from the front of the queue and takes off what went.
    virtual IoResult write(OutputQueue& queue) = 0;
    // Says goodbye; nothing is written afterwards.
    virtual void close_write() = 0;
    // Bytes may lie here that the socket's readiness does not show.
    virtual bool buffers_input() const = 0;
};

std::unique_ptr<Transport> make_plain_transport(int socket);
std::unique_ptr<Transport> make_tls_transport(int socket, SSL_CTX* context);

}  // namespace spanloom::http
