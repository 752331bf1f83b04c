#include "store/scan_kernels.h"

#include <algorithm>
#include <cstring>

namespace spanloom::store {
namespace {

constexpr size_t kRows = 64;  // of one word

// 64 bytes of 0 or 1 as bits.
inline uint64_t bits_of(const uint8_t* flags) {
    uint64_t word = 0;
    for (size_t i = 0; i < 8; ++i) {
        uint64_t eight = 0;
        std::memcpy(&eight, flags + i * 8, 8);
        word |= (eight * 0x0102040810204080U >> 56) << (i * 8);
    }
    return word;
}

// Unsigned, so that one comparison tells: value - first <= last - first.
inline __attribute__((always_inline)) void range_flags(const int64_t* values, size_t count,
                                                       uint64_t first, uint64_t width,
                                                       uint8_t negated, uint8_t* flags) {
    for (size_t i = 0; i < count; ++i)
        flags[i] =
            static_cast<uint8_t>((static_cast<uint64_t>(values[i]) - first) <= width) ^ negated;
}

// At -O2 g++ 12 leaves the loop as it is; clang makes vectors of it anyway.
#if defined(__clang__)
#define SPANLOOM_VECTORISED
#else
#define SPANLOOM_VECTORISED __attribute__((optimize("O3")))
#endif

#if defined(__x86_64__)
SPANLOOM_VECTORISED __attribute__((target("avx2"))) void range_flags_avx2(
    const int64_t* values, uint64_t first, uint64_t width, uint8_t negated, uint8_t* flags) {
    range_flags(values, kRows, first, width, negated, flags);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
#endif

SPANLOOM_VECTORISED void range_flags_any(const int64_t* values, uint64_t first, uint64_t width,
                                         uint8_t negated, uint8_t* flags) {
    range_flags(values, kRows, first, width, negated, flags);
}

}  // namespace

void select_range(std::span<const int64_t> values, IntegerRange range, RowBitmap& rows) {
    const auto first = static_cast<uint64_t>(range.first);
    const uint64_t width = static_cast<uint64_t>(range.last) - first;
    const bool is_empty = range.first > range.last;
    const uint8_t negated = range.is_negated ? 1 : 0;
    alignas(32) uint8_t flags[kRows];
    const std::span<uint64_t> words = rows.words();
    size_t at = 0;
    for (size_t word = 0; word < words.size() && at < values.size(); ++word, at += kRows) {
        const size_t count = std::min(kRows, values.size() - at);
        if (is_empty) {
            std::memset(flags, negated, count);
        } else if (count < kRows) {
            range_flags(values.data() + at, count, first, width, negated, flags);
#if defined(__x86_64__)
        } else if (kHasAvx2) {
            range_flags_avx2(values.data() + at, first, width, negated, flags);
#endif
        } else {
            range_flags_any(values.data() + at, first, width, negated, flags);
        }
        if (count < kRows) std::memset(flags + count, 0, kRows - count);
        words[word] = bits_of(flags);
    }
}

void select_codes(std::span<const uint32_t> codes, std::span<const uint8_t> verdicts,
                  uint8_t wanted, RowBitmap& rows) {
    uint8_t flags[kRows];
    const std::span<uint64_t> words = rows.words();
    size_t at = 0;
    for (size_t word = 0; word < words.size() && at < codes.size(); ++word, at += kRows) {
        const size_t count = std::min(kRows, codes.size() - at);
        for (size_t i = 0; i < count; ++i)
            flags[i] = static_cast<uint8_t>(verdicts[codes[at + i]] == wanted);
        if (count < kRows) std::memset(flags + count, 0, kRows - count);
        words[word] = bits_of(flags);
    }
}

}  // namespace spanloom::store
