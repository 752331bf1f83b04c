#include "rollup/number_coder.h"

#include <bit>
#include <utility>

namespace spanloom {
namespace {

constexpr uint32_t kRangeMin = 1U << 24;
constexpr uint32_t kChanceBits = 12;
constexpr size_t kStateBytes = 4;

}  // namespace

// ---- writing

void NumberEncoder::shift_low() {
    const auto carry = static_cast<uint8_t>(low_ >> 32);
    const auto low = static_cast<uint32_t>(low_);
    if (low < 0xff000000U || carry != 0) {
        if (has_held_) bytes_ += static_cast<char>(held_ + carry);
        for (; held_more_ > 0; --held_more_)
            bytes_ += static_cast<char>(0xff + carry);
        held_ = static_cast<uint8_t>(low >> 24);
        has_held_ = true;
    } else {
        ++held_more_;
    }
    low_ = uint64_t{low} << 8 & UINT32_MAX;
}

void NumberEncoder::bit(BitChance& chance, bool value) {
    const uint32_t bound = (range_ >> kChanceBits) * chance.zero();
    if (value) {
        low_ += bound;
        range_ -= bound;
    } else {
        range_ = bound;
    }
    chance.learn(value);
    for (; range_ < kRangeMin; range_ <<= 8)
        shift_low();
}

void NumberEncoder::plain_bit(bool value) {
    range_ >>= 1;
    if (value) low_ += range_;
    for (; range_ < kRangeMin; range_ <<= 8)
        shift_low();
}

void NumberEncoder::number(NumberContext& context, uint64_t value) {
    ++value;
    const auto length = static_cast<uint32_t>(std::bit_width(value)) - 1;
    for (uint32_t i = 0; i < length; ++i)
        bit(context.is_longer[i], true);
    if (length < 63) bit(context.is_longer[length], false);
    size_t above = 0;
    for (uint32_t i = 0; i < length; ++i) {
        const bool one = (value >> (length - 1 - i) & 1) != 0;
        if (i >= 2) {
            plain_bit(one);
            continue;
        }
        bit(context.upper[length][above], one);
        above = one ? 2 : 1;
    }
}

std::string NumberEncoder::finish() {
    for (size_t i = 0; i <= kStateBytes; ++i)
        shift_low();
    return std::move(bytes_);
}

// ---- reading

NumberDecoder::NumberDecoder(std::string_view bytes) : bytes_(bytes) {
    for (size_t i = 0; i < kStateBytes; ++i)
        code_ = code_ << 8 | next();
}

inline uint8_t NumberDecoder::next() {
    if (at_ < bytes_.size()) return static_cast<uint8_t>(bytes_[at_++]);
    ++missing_;
    return 0;
}

inline void NumberDecoder::normalise() {
    for (; range_ < kRangeMin; range_ <<= 8)
        code_ = code_ << 8 | next();
}

[[gnu::always_inline]] inline bool NumberDecoder::bit(BitChance& chance) {
    const uint32_t bound = (range_ >> kChanceBits) * chance.zero();
    // Nobody can foresee it, so without a branch.
    const bool value = code_ >= bound;
    code_ -= value ? bound : 0;
    range_ = value ? range_ - bound : bound;
    chance.learn(value);
    normalise();
    return value;
}

inline bool NumberDecoder::plain_bit() {
    range_ >>= 1;
    const bool value = code_ >= range_;
    code_ -= value ? range_ : 0;
    normalise();
    return value;
}

uint64_t NumberDecoder::number(NumberContext& context) {
    NumberDecoder in = *this;  // whose state is in registers until the number is read
    uint32_t length = 0;
    while (length < 63 && in.bit(context.is_longer[length]))
        ++length;
    uint64_t value = 1;
    if (length > 0) {
        auto& upper = context.upper[length];
        value = value << 1 | (in.bit(upper[0]) ? 1U : 0U);
        if (length > 1) value = value << 1 | (in.bit(upper[value & 1 ? 2 : 1]) ? 1U : 0U);
        for (uint32_t i = 2; i < length; ++i)
            value = value << 1 | (in.plain_bit() ? 1U : 0U);
    }
    *this = in;
    return value - 1;
}

}  // namespace spanloom
