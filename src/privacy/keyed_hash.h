#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace spanloom::privacy {

std::array<uint8_t, 32> sha256(std::string_view text);
std::array<uint8_t, 32> hmac_sha256(std::string_view key, std::string_view text);

// HMAC-SHA256 of the text, cut to 16 bytes, as 32 hexadecimal digits: equal texts stay equal and
// can be searched for, and without the key nobody can try values until one fits.
std::string keyed_hash(std::string_view key, std::string_view text);

}  // namespace spanloom::privacy
