// Any bytes as an HTTP/1.1 connection. The first one says in pieces of which size they come.
#include "http/http1_session.h"
#include "http_session_host.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 1) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    spanloom::http::FuzzHost host;
    {
        const auto session = spanloom::http::make_http1_session(host, "fuzz");
        host.drive(*session, bytes, data[0] == 0 ? size : data[0]);
    }
    if (host.has_leaked()) __builtin_trap();
    return 0;
}
