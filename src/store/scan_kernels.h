#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "store/row_bitmap.h"

// The inner loops of scans, written so that the compiler makes SIMD of them; where the processor
// has AVX2, that is chosen at run time.
namespace spanloom::store {

// Integers from first to last, both inclusive; or, negated, all others.
struct IntegerRange {
    int64_t first = INT64_MIN;
    int64_t last = INT64_MAX;
    bool is_negated = false;
};

// Sets in `rows` row i where values[i] is in the range. Whole words of the bitmap are replaced.
void select_range(std::span<const int64_t> values, IntegerRange range, RowBitmap& rows);
// The same where verdicts[codes[i]] is `wanted`.
void select_codes(std::span<const uint32_t> codes, std::span<const uint8_t> verdicts,
                  uint8_t wanted, RowBitmap& rows);

}  // namespace spanloom::store
