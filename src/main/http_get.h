#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace spanloom {

struct HttpReply {
    int status = 0;
    std::string body;
    std::vector<std::pair<std::string, std::string>> fields;  // of the header, names in lower case
};

// One request to a spanloom server, for the commands that ask one. Blocks for at most the timeout
// (30 s); replies are limited to 256 MiB. `server` is "http://host:port".
Result<HttpReply> http_get(const std::string& server, const std::string& target,
                           const std::string& accept);
Result<HttpReply> http_json(const std::string& server, const std::string& method,
                            const std::string& target, const std::string& body, uint32_t timeout_s);
Result<HttpReply> http_post_json(const std::string& server, const std::string& target,
                                 const std::string& body, uint32_t timeout_s = 30);

}  // namespace spanloom
