#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace spanloom {

// What a handler answers to a GET from inside the program that accepts this media type. Blocks
// until it has; kUnavailable where it answers with anything but 200.
Result<std::string> scrape(const http::Handler& handler, const std::string& path,
                           std::string_view accept, std::stop_token cancelled);

}  // namespace spanloom
