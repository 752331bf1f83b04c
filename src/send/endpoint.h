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

    std::string authority() const;
};

// "http://host:port", "http://host:port/path" or "host:port".
Result<Endpoint> parse_endpoint(std::string_view url, uint16_t default_port);

}  // namespace spanloom::send
