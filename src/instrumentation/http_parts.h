#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spanloom/propagator.h"

namespace spanloom::instrumentation {

struct HostPort {
    std::string_view host;  // without the brackets of an IPv6 address
    uint16_t port = 0;      // 0: none was given
};
// "example.com:8080", "[::1]:80", "10.0.0.1".
HostPort parse_authority(std::string_view authority);

struct UrlParts {
    std::string_view scheme;
    std::string_view authority;  // without user and password
};
UrlParts parse_url(std::string_view url);
uint16_t default_port(std::string_view scheme);

// A method as http.request.method wants it: one of the known ones, or "_OTHER". Constants.
std::string_view known_method(std::string_view method);
// What a list of OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS means.
std::vector<std::string> parse_known_methods(const char* list);

// Where a request came from and where it was meant to go, by what proxies added.
struct ForwardedRequest {
    std::string_view host;
    std::string_view scheme;
    std::string_view client;
};
ForwardedRequest read_forwarded(const TextMapGetter& headers);

}  // namespace spanloom::instrumentation
