#pragma once

#include <string>

#include "main/http_get.h"

namespace spanloom {

// What an error body says: its message, with the place in the query and the hint where it has
// them; else its first line.
std::string error_text(const std::string& body);
// The reply where its status is 200, else an error with what it says.
Result<HttpReply> accept_only_success(Result<HttpReply> reply);

}  // namespace spanloom
