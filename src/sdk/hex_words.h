#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

// Eight lower-case hexadecimal digits at a time, in one register: what a
// traceparent is made of.
namespace spanloom::sdk {

static_assert(std::endian::native == std::endian::little,
              "digits are handled as little-endian words");

// Writes four bytes; false where a digit is none of 0-9 and a-f (upper case is
// none: W3C).
inline bool decode_hex8(const char* digits, uint8_t* out) noexcept {
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kHigh = kOnes * 0x80;
    uint64_t text = 0;
    std::memcpy(&text, digits, 8);
    const uint64_t ascii = text & ~kHigh;
    const uint64_t from_0 = ascii + kOnes * (0x80 - '0');
    const uint64_t after_9 = ascii + kOnes * (0x80 - '9' - 1);
    const uint64_t from_a = ascii + kOnes * (0x80 - 'a');
    const uint64_t after_f = ascii + kOnes * (0x80 - 'f' - 1);
    const uint64_t is_letter = from_a & ~after_f & kHigh;
    const uint64_t is_digit = from_0 & ~after_9 & kHigh;
    const bool good = ((is_letter | is_digit) & ~text & kHigh) == kHigh;
    uint64_t nibbles = (text & kOnes * 0x0f) + (is_letter >> 7) * 9;
    nibbles = (nibbles << 4 | nibbles >> 8) & 0x00ff00ff00ff00ff;
    nibbles = (nibbles | nibbles >> 8) & 0x0000ffff0000ffff;
    const auto bytes = static_cast<uint32_t>(nibbles | nibbles >> 16);
    std::memcpy(out, &bytes, 4);
    return good;
}

// Four bytes as eight digits.
inline void encode_hex8(const uint8_t* bytes, char* digits) noexcept {
    constexpr uint64_t kOnes = 0x0101010101010101;
    uint32_t word = 0;
    std::memcpy(&word, bytes, 4);
    uint64_t spread = word;
    spread = (spread | spread << 16) & 0x0000ffff0000ffff;
    spread = (spread | spread << 8) & 0x00ff00ff00ff00ff;
    const uint64_t nibbles = (spread >> 4 & 0x000f000f000f000f) | (spread & 0x000f000f000f000f)
                                                                      << 8;
    const uint64_t is_letter = (nibbles + kOnes * 6) >> 4 & kOnes;
    const uint64_t text = nibbles + kOnes * '0' + is_letter * ('a' - '0' - 10);
    std::memcpy(digits, &text, 8);
}

}  // namespace spanloom::sdk
