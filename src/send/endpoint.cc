#include "send/endpoint.h"

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom::send {

std::string Endpoint::authority() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

Result<Endpoint> parse_endpoint(std::string_view url, uint16_t default_port) {
    const auto bad = [&](std::string_view why) {
        return fail(ErrorCode::kInvalidArgument, "endpoint '{}' {}; write it as http://host:port",
                    url, why);
    };
    std::string_view rest = url;
    Endpoint endpoint;
    endpoint.port = default_port;
    if (const size_t at = rest.find("://"); at != std::string_view::npos) {
        const std::string_view scheme = rest.substr(0, at);
        endpoint.is_tls = scheme == "https";
        if (scheme != "http" && scheme != "https") return bad("has an unknown scheme");
        rest.remove_prefix(at + 3);
    }
    const size_t slash = rest.find('/');
    if (slash != std::string_view::npos) endpoint.path = rest.substr(slash);
    std::string_view authority = rest.substr(0, slash);
    if (authority.find('@') != std::string_view::npos) return bad("holds a user name");
    std::string_view port;
    if (starts_with(authority, "[")) {
        const size_t close = authority.find(']');
        if (close == std::string_view::npos) return bad("has an unclosed '['");
        endpoint.host = authority.substr(1, close - 1);
        authority.remove_prefix(close + 1);
        if (!authority.empty() && authority.front() != ':') return bad("has text after ']'");
        if (!authority.empty()) port = authority.substr(1);
    } else {
        const size_t colon = authority.find(':');
        endpoint.host = authority.substr(0, colon);
        if (colon != std::string_view::npos) port = authority.substr(colon + 1);
    }
    if (endpoint.host.empty()) return bad("names no host");
    for (const std::string_view part :
         {std::string_view(endpoint.host), std::string_view(endpoint.path)}) {
        for (char c : part) {
            if (c <= ' ' || c == 0x7f) return bad("holds a blank or a control character");
        }
    }
    if (port.empty()) return endpoint;
    const std::optional<int64_t> number = parse_int(port);
    if (!number || *number < 1 || *number > 65'535) return bad("has a bad port");
    endpoint.port = static_cast<uint16_t>(*number);
    return endpoint;
}

}  // namespace spanloom::send
