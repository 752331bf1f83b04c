#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

// How the values of one column block become bytes (docs/format/segment.md, "Bodies"). Encoding
// picks the smallest form for the values at hand. Decoding trusts nothing: sizes and counts are
// checked before anything is allocated. Level 0 leaves out everything that needs zstd.
namespace spanloom::store {

// Most bytes that one decoded block may take: what one block may cost a reader.
constexpr size_t kBlockBytesMax = 256U << 20;
// A compressed part says how large it will be; more than this ratio is not believed (nor written).
constexpr size_t kExpansionMax = 4096;

void encode_integers(std::span<const int64_t> values, int zstd_level, std::string& out);
Result<void> decode_integers(std::string_view body, size_t count, std::vector<int64_t>& out);

// Doubles keep every bit, also those of a NaN.
void encode_doubles(std::span<const double> values, int zstd_level, std::string& out);
Result<void> decode_doubles(std::string_view body, size_t count, std::vector<double>& out);

// Texts, end to end, with their lengths.
struct TextList {
    Blob storage;
    std::vector<std::string_view> texts;
};
void encode_texts(std::span<const std::string_view> texts, int zstd_level, std::string& out);
Result<TextList> decode_texts(std::string_view body, size_t count);

// Any bytes: compressed where it pays.
void encode_bytes(std::string_view bytes, int zstd_level, std::string& out);
Result<Blob> decode_bytes(std::string_view body);

}  // namespace spanloom::store
