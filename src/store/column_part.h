#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "store/segment_bytes.h"

// Parts of bodies: bytes that may be compressed (docs/format/segment.md, "Bodies").
namespace spanloom::store {

constexpr size_t kCompressBytesMin = 48;  // below this a zstd frame costs more than it saves

void write_part(std::string_view bytes, int zstd_level, std::string& out);

// Bytes of a part; `owner` is set where they had to be made.
struct Part {
    std::string_view bytes;
    Blob owner;
};
Result<Part> read_part(ByteReader& reader);

}  // namespace spanloom::store
