#pragma once

#include <cstddef>
#include <string_view>

// The arithmetic by which numbers prove what they are. Digits and letters only, no separators.
namespace spanloom::privacy {

// Issuer's prefix, length and check digit (ISO/IEC 7812).
bool is_card_number(std::string_view digits) noexcept;
// The length of a country's IBAN; 0 where the country has none.
size_t iban_size(std::string_view country) noexcept;
// ISO 13616: its remainder by 97 is 1.
bool is_iban(std::string_view text) noexcept;

}  // namespace spanloom::privacy
