#pragma once

#include <string_view>

namespace spanloom {

// Whether the whole text fits: '*' stands for any characters or none, '?' for one byte. Takes at
// most text.size() * pattern.size() steps and no memory.
bool glob_match(std::string_view pattern, std::string_view text) noexcept;

}  // namespace spanloom
