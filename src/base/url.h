#pragma once

#include <string>
#include <string_view>

namespace spanloom {

// Everything but letters, digits, '-', '_', '.' and '~' as %XX.
void append_percent_encoded(std::string& out, std::string_view text);

}  // namespace spanloom
