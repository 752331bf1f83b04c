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

uint8_t NumberDecoder::next() {
    if (at_ < bytes_.size()) return static_cast<uint8_t>(bytes_[at_++]);
    ++missing_;
    return 0;
}

void NumberDecoder::normalise() {
    for (; range_ < kRangeMin; range_ <<= 8)
        code_ = code_ << 8 | next();
}

bool NumberDecoder::bit(BitChance& chance) {
    const uint32_t bound = (range_ >> kChanceBits) * chance.zero();
    const bool value = code_ >= bound;
    if (value) {
        code_ -= bound;
        range_ -= bound;
    } else {
        range_ = bound;
    }
    chance.learn(value);
    normalise();
    return value;
}

bool NumberDecoder::plain_bit() {
    range_ >>= 1;
    const bool value = code_ >= range_;
    if (value) code_ -= range_;
    normalise();
    return value;
}

uint64_t NumberDecoder::number(NumberContext& context) {
    uint32_t length = 0;
    while (length < 63 && bit(context.is_longer[length]))
        ++length;
    uint64_t value = 1;
    size_t above = 0;
    for (uint32_t i = 0; i < length; ++i) {
        const bool one = i >= 2 ? plain_bit() : bit(context.upper[length][above]);
        if (i < 2) above = one ? 2 : 1;
        value = value << 1 | (one ? 1 : 0);
    }
    return value - 1;
}

}  // namespace spanloom
