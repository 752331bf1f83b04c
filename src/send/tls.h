#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "send/endpoint.h"
#include "send/pieces.h"

namespace spanloom::send {

// Files in PEM; empty where not used.
struct TlsOptions {
    std::string ca_file;  // whom to trust; empty: whom the system trusts
    std::string client_certificate_file;
    std::string client_key_file;
};

// What is spoken inside, as both sides agree in the handshake.
enum class Alpn : uint8_t { kHttp1, kHttp2 };

// TLS over a socket that does not block. One thread.
class TlsStream {
  public:
    // What to wait for before the same call is made again.
    enum class Step : uint8_t { kDone, kWantRead, kWantWrite };

    virtual ~TlsStream() = default;
    virtual Result<Step> handshake() = 0;
    // 0: nothing there now, or no room now.
    virtual Result<size_t> read_some(char* to, size_t size) = 0;
    virtual Result<size_t> write_some(const iovec* parts, size_t count) = 0;
    // The destructor says goodbye to the server but after this.
    virtual void abandon() = 0;
};

// TLS 1.2 and up; the server's certificate must be valid for the host. Built without TLS, making
// one is kUnsupported.
class TlsClient {
  public:
    static Result<std::unique_ptr<TlsClient>> create(const TlsOptions& options);
    virtual ~TlsClient() = default;
    virtual Result<std::unique_ptr<TlsStream>> open(int descriptor, const Endpoint& endpoint,
                                                    Alpn alpn) = 0;
};

}  // namespace spanloom::send
