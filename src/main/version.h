#pragma once

#include <string_view>

namespace spanloom {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace spanloom
