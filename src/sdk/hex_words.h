#pragma once

#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Eight lower-case hexadecimal digits at a time, in one register: what a
// traceparent is made of.
namespace spanloom::sdk {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
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

// Sixteen at a time, with what every x86-64 processor has.
#if defined(__SSE2__)
inline bool decode_hex16(const char* digits, uint8_t* out) noexcept {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(digits));
    const __m128i from_0 = _mm_sub_epi8(text, _mm_set1_epi8('0'));
    const __m128i from_a = _mm_sub_epi8(text, _mm_set1_epi8('a'));
    const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(from_0, _mm_set1_epi8(9)), from_0);
    const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8(5)), from_a);
    const __m128i nibbles =
        _mm_or_si128(_mm_and_si128(from_0, is_digit),
                     _mm_and_si128(_mm_add_epi8(from_a, _mm_set1_epi8(10)), is_letter));
    // In each 16 bits the first digit is the low byte.
    const __m128i pairs = _mm_and_si128(
        _mm_or_si128(_mm_slli_epi16(nibbles, 4), _mm_srli_epi16(nibbles, 8)), _mm_set1_epi16(0xff));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(pairs, pairs));
    return _mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) == 0xffff;
}

inline void encode_hex16(const uint8_t* bytes, char* digits) noexcept {
    const __m128i all = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const __m128i low = _mm_set1_epi8(0x0f);
    const __m128i nibbles =
        _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(all, 4), low), _mm_and_si128(all, low));
    const __m128i is_letter = _mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9));
    const __m128i to_letter = _mm_and_si128(is_letter, _mm_set1_epi8('a' - '0' - 10));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(digits),
                     _mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')), to_letter));
}
#else
inline bool decode_hex16(const char* digits, uint8_t* out) noexcept {
    const bool is_good = decode_hex8(digits, out);
    return decode_hex8(digits + 8, out + 4) && is_good;
}

inline void encode_hex16(const uint8_t* bytes, char* digits) noexcept {
    encode_hex8(bytes, digits);
    encode_hex8(bytes + 4, digits + 8);
}
#endif

}  // namespace spanloom::sdk
