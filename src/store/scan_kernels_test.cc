#include "store/scan_kernels.h"

#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

namespace spanloom::store {

TEST_CASE("ranges of integers are selected as by one comparison after the other") {
    SeededRandom random(11);
    for (const uint32_t count : {0U, 1U, 63U, 64U, 65U, 128U, 1000U, 4096U}) {
        CAPTURE(count);
        std::vector<int64_t> values;
        for (uint32_t i = 0; i < count; ++i)
            values.push_back(random.below(3) == 0 ? static_cast<int64_t>(random.next())
                                                  : static_cast<int64_t>(random.below(20)) - 10);
        for (const IntegerRange range :
             {IntegerRange{}, IntegerRange{0, 5, false}, IntegerRange{0, 5, true},
              IntegerRange{-3, -3, false}, IntegerRange{1, 0, false}, IntegerRange{1, 0, true},
              IntegerRange{INT64_MIN, -1, false}, IntegerRange{1, INT64_MAX, false}}) {
            RowBitmap rows(count);
            select_range(values, range, rows);
            uint32_t expected = 0;
            for (uint32_t i = 0; i < count; ++i) {
                const bool inside = values[i] >= range.first && values[i] <= range.last;
                REQUIRE(rows.test(i) == (inside != range.is_negated));
                expected += inside != range.is_negated;
            }
            CHECK(rows.count() == expected);
        }
    }
}

TEST_CASE("codes are selected by their verdicts") {
    SeededRandom random(12);
    const std::vector<uint8_t> verdicts = {1, 2, 1, 2, 2};
    for (const uint32_t count : {0U, 1U, 64U, 100U, 4096U}) {
        std::vector<uint32_t> codes;
        for (uint32_t i = 0; i < count; ++i)
            codes.push_back(static_cast<uint32_t>(random.below(verdicts.size())));
        RowBitmap rows(count);
        select_codes(codes, verdicts, 2, rows);
        for (uint32_t i = 0; i < count; ++i)
            REQUIRE(rows.test(i) == (verdicts[codes[i]] == 2));
    }
}

}  // namespace spanloom::store
