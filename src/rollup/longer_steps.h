#pragma once

#include <array>
#include <cstdint>

#include "rollup/rollup_section.h"

namespace spanloom {

// Steps of which questions over long ranges can mostly do with some, in seconds, the longest first
// (RollupCache::operations).
constexpr std::array<uint32_t, 5> kLongerStepsS = {kHourStepS, 30 * kMinuteStepS, 20 * kMinuteStepS,
                                                   10 * kMinuteStepS, 5 * kMinuteStepS};

}  // namespace spanloom
