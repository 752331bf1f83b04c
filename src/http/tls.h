#pragma once

#include <memory>

#include <openssl/ssl.h>

#include "base/result.h"
#include "http/server.h"

namespace spanloom::http {

struct FreeSslContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSslContext>;

// TLS 1.2 and up with ALPN (h2, http/1.1). With a client CA, clients must show a certificate.
Result<SslContext> make_server_tls(const TlsFiles& files);

}  // namespace spanloom::http
