#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "rollup/packed_rollup.h"

// Sections as files of counts have them: operation by operation over time, each number in the
// fractions of bits that what came before leaves open (docs/format/rollup.md, version 6).
namespace spanloom {

constexpr uint8_t kSeriesVersion = 6;
constexpr uint8_t kSeriesVersionBefore = 3;  // without sizes of spans

// Empty where nothing is counted.
std::string encode_series(const RollupSection& section);
// Of what follows the version.
Result<PackedRollup> decode_series(uint8_t version, std::string_view bytes, uint32_t step_s);

}  // namespace spanloom
