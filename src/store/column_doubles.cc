#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "store/column.h"
#include "store/segment_bytes.h"

namespace spanloom::store {
namespace {

enum DoubleForm : uint8_t { kBits, kDecimal };

tl::unexpected<Error> damaged(std::string_view what) {
    return fail(ErrorCode::kDataLoss, "{}", what);
}

constexpr std::array<double, 7> kScales = {1, 10, 100, 1e3, 1e4, 1e5, 1e6};

// Whether value * scale is an integer from which the same bits come back.
bool to_decimal(double value, double scale, int64_t& integer) {
    const double scaled = value * scale;
    if (!(scaled > -9e15 && scaled < 9e15)) return false;
    integer = static_cast<int64_t>(std::llround(scaled));
    return std::bit_cast<uint64_t>(static_cast<double>(integer) / scale) ==
           std::bit_cast<uint64_t>(value);
}

bool to_decimals(std::span<const double> values, double scale, std::vector<int64_t>& out) {
    out.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        if (!to_decimal(values[i], scale, out[i])) return false;
    return true;
}

}  // namespace

void encode_doubles(std::span<const double> values, int zstd_level, std::string& out) {
    thread_local std::vector<int64_t> integers;
    for (size_t i = 0; i < kScales.size() && !values.empty(); ++i) {
        if (!to_decimals(values, kScales[i], integers)) continue;
        out += static_cast<char>(kDecimal);
        out += static_cast<char>(i);
        return encode_integers(integers, zstd_level, out);
    }
    integers.resize(values.size());
    if (!values.empty()) std::memcpy(integers.data(), values.data(), values.size() * 8);
    out += static_cast<char>(kBits);
    encode_integers(integers, zstd_level, out);
}

namespace {

// How the integers of a body become doubles.
struct DoubleHead {
    uint8_t form = kBits;
    double scale = 1;

    double of(int64_t integer) const {
        return form == kDecimal ? static_cast<double>(integer) / scale
                                : std::bit_cast<double>(integer);
    }
};

Result<DoubleHead> read_head(ByteReader& reader) {
    const uint8_t form = reader.u8();
    const uint8_t scale = form == kDecimal ? reader.u8() : 0;
    if (!reader.ok() || form > kDecimal || scale >= kScales.size())
        return damaged("doubles have an unknown form");
    return DoubleHead{form, kScales[scale]};
}

}  // namespace

Result<void> decode_doubles(std::string_view body, size_t count, std::vector<double>& out) {
    ByteReader reader(body);
    TRY_ASSIGN(const DoubleHead head, read_head(reader));
    std::vector<int64_t> integers;
    TRY(decode_integers(reader.rest(), count, integers));
    out.resize(count);
    for (size_t i = 0; i < count; ++i)
        out[i] = head.of(integers[i]);
    return {};
}

Result<void> decode_doubles_at(std::string_view body, size_t count,
                               std::span<const uint32_t> places, std::vector<double>& out) {
    ByteReader reader(body);
    TRY_ASSIGN(const DoubleHead head, read_head(reader));
    std::vector<int64_t> integers;
    TRY(decode_integers_at(reader.rest(), count, places, integers));
    out.resize(integers.size());
    for (size_t i = 0; i < integers.size(); ++i)
        out[i] = head.of(integers[i]);
    return {};
}

}  // namespace spanloom::store
