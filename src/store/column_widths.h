#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/segment_bytes.h"

// Integers of many magnitudes: how wide each is, and its bits (docs/format/segment.md, "widths").
namespace spanloom::store {

// How many bits they take so, about. `min` is the least of the values, here and below.
size_t widths_bits(std::span<const int64_t> values, int64_t min);
// The body behind its form.
void write_widths(std::span<const int64_t> values, int64_t min, int zstd_level, std::string& out);
Result<void> read_widths(ByteReader& reader, size_t count, std::vector<int64_t>& out);

}  // namespace spanloom::store
