#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace spanloom::http {

enum class Encoding { kIdentity, kGzip, kDeflate, kZstd };  // kDeflate takes zlib and raw deflate

// One content-encoding or grpc-encoding; kUnsupported for others and for lists of several.
Result<Encoding> parse_encoding(std::string_view name);

// The whole of `bytes` inflated. kResourceExhausted as soon as it would pass `bytes_max` (nothing
// near that is allocated before it is needed); kInvalidArgument where the stream is damaged,
// truncated or followed by garbage.
Result<Blob> inflate(Encoding encoding, const Blob& bytes, size_t bytes_max);
Result<std::string> compress_gzip(std::string_view bytes, int level = 6);

}  // namespace spanloom::http
