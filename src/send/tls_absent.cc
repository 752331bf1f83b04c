#include "send/tls.h"

// Compiled instead of tls.cc where the library is built without OpenSSL.
namespace spanloom::send {

Result<std::unique_ptr<TlsClient>> TlsClient::create(const TlsOptions&) {
    return fail(ErrorCode::kUnsupported,
                "this build of spanloom has no TLS; use http://, or build with SPANLOOM_TLS=ON");
}

}  // namespace spanloom::send
