#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace spanloom::send {

struct Endpoint {
    std::string host;  // a name or an address, without brackets
    uint16_t port = 0;
    std::string path;  // "" or begins with '/'
    bool is_tls = false;

    std::string authority() const;
};

// "http://host:port", "https://host:port/path" or "host:port", which is without TLS.
Result<Endpoint> parse_endpoint(std::string_view url, uint16_t default_port);

}  // namespace spanloom::send
