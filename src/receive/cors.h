#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace spanloom {

// Which web pages may send to us: origins ("https://shop.example"), with at most one '*' each for
// any text ("https://*.shop.example", "*"). None configured: none. Immutable, any thread.
class CorsPolicy {
  public:
    explicit CorsPolicy(std::vector<std::string> origins) : origins_(std::move(origins)) {}

    bool allows(std::string_view origin) const;
    // The answer to an OPTIONS request: 204 with what is allowed, or 403.
    http::Response preflight(const http::Request& request) const;
    // Lets the page read the answer, where its origin is allowed.
    void mark(std::string_view origin, http::Response& response) const;

  private:
    std::vector<std::string> origins_;
};

}  // namespace spanloom
