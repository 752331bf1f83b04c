#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "send/pieces.h"

namespace spanloom::send {

Result<std::string> compress_gzip(const Pieces& pieces);
// kResourceExhausted where it would be more than `bytes_max`.
Result<std::string> inflate_gzip(std::string_view bytes, size_t bytes_max);

}  // namespace spanloom::send
