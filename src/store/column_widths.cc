#include "store/column_widths.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "store/column_part.h"

namespace spanloom::store {
namespace {

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

uint32_t width_of(uint64_t value) {
    return static_cast<uint32_t>(std::bit_width(value));
}

}  // namespace

size_t widths_bits(std::span<const int64_t> values, int64_t min) {
    std::array<uint32_t, 65> counts{};
    for (const int64_t value : values)
        ++counts[width_of(static_cast<uint64_t>(value) - static_cast<uint64_t>(min))];
    const auto all = static_cast<double>(values.size());
    double bits = 0;
    for (uint32_t width = 0; width < counts.size(); ++width) {
        if (counts[width] == 0) continue;
        const auto count = static_cast<double>(counts[width]);
        // A byte of its own has at least a bit in a frame.
        bits += count * std::max(1.0, std::log2(all / count)) + count * (width > 1 ? width - 1 : 0);
    }
    return static_cast<size_t>(bits);
}

// Value - min as its width, in a part, and the bits below its highest one. For values of many
// magnitudes: durations, sizes.
void write_widths(std::span<const int64_t> values, int64_t min, int zstd_level, std::string& out) {
    ByteWriter writer(out);
    writer.zigzag(min);
    thread_local std::string widths;
    thread_local std::string bits;
    widths.resize(values.size());
    bits.resize(values.size() * 8 + 16);
    size_t at = 0;
    std::memset(bits.data(), 0, bits.size());
    for (size_t i = 0; i < values.size(); ++i) {
        const uint64_t value = static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(min);
        const uint32_t width = width_of(value);
        widths[i] = static_cast<char>(width);
        if (width < 2) continue;
        const uint64_t low = value & ((uint64_t{1} << (width - 1)) - 1);
        uint64_t held = 0;
        char* const to = bits.data() + at / 8;
        std::memcpy(&held, to, 8);
        held |= low << (at % 8);
        std::memcpy(to, &held, 8);
        if (at % 8 != 0) to[8] = static_cast<char>(low >> (64 - at % 8));
        at += width - 1;
    }
    write_part(widths, zstd_level, out);
    out.append(bits.data(), (at + 7) / 8);
}

Result<void> read_widths(ByteReader& reader, size_t count, std::vector<int64_t>& out) {
    const auto min = static_cast<uint64_t>(reader.zigzag());
    if (!reader.ok()) return damaged("integers end early");
    TRY_ASSIGN(const Part part, read_part(reader));
    const std::string_view widths = part.bytes;
    if (widths.size() != count) return damaged("widths of integers have a wrong length");
    size_t all = 0;
    bool in_range = true;
    for (const char c : widths) {
        const auto width = static_cast<uint8_t>(c);
        in_range &= width <= 64;
        all += width > 1 ? width - 1U : 0;
    }
    const std::string_view bits = reader.bytes((all + 7) / 8);
    if (!reader.ok() || !in_range) return damaged("integers of different widths are broken");
    // With room behind, so that whole words can be read.
    thread_local std::string padded;
    padded.assign(bits);
    padded.append(16, '\0');
    out.resize(count);
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        const auto width = static_cast<uint8_t>(widths[i]);
        if (width < 2) {
            out[i] = static_cast<int64_t>(min + width);
            continue;
        }
        const char* const from = padded.data() + at / 8;
        uint64_t low = 0;
        std::memcpy(&low, from, 8);
        low >>= at % 8;
        if (at % 8 + width > 65)
            low |= static_cast<uint64_t>(static_cast<uint8_t>(from[8])) << (64 - at % 8);
        const uint64_t top = uint64_t{1} << (width - 1);
        out[i] = static_cast<int64_t>(min + (top | (low & (top - 1))));
        at += width - 1U;
    }
    return {};
}

}  // namespace spanloom::store
