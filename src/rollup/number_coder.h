#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Numbers in fractions of bits, by what came before in their context: an adaptive range coder
// (docs/format/rollup.md, "Coded numbers"). What a reader makes of any bytes at all are numbers;
// whether they mean something is its business. One thread.
namespace spanloom {

// How likely a bit is 0, learnt from the bits themselves: fast at first, then slowly.
class BitChance {
  public:
    uint32_t zero() const { return zero_ >> 4; }  // of 4,096; never 0 or all of them
    void learn(bool bit) {
        const uint32_t shift = 2U + seen_;
        if (seen_ < 4) ++seen_;
        const uint32_t less = zero_ - ((zero_ - kLeast) >> shift);
        const uint32_t more = zero_ + ((kMost - zero_) >> shift);
        zero_ = static_cast<uint16_t>(bit ? less : more);
    }

  private:
    // So that a byte never says more than about 700 numbers.
    static constexpr uint32_t kLeast = 512;
    static constexpr uint32_t kMost = 65'536 - kLeast;
    uint16_t zero_ = 32'768;
    uint8_t seen_ = 0;
};

// What is known of the numbers of one context: how many bits they have, and of each length the two
// bits below the highest one.
struct NumberContext {
    std::array<BitChance, 64> is_longer;
    std::array<std::array<BitChance, 3>, 64> upper;
};

class NumberEncoder {
  public:
    void number(NumberContext& context, uint64_t value);  // below 2^63
    std::string finish();

  private:
    void bit(BitChance& chance, bool value);
    void plain_bit(bool value);
    void shift_low();

    std::string bytes_;
    uint64_t low_ = 0;
    uint32_t range_ = UINT32_MAX;
    uint8_t held_ = 0;        // a byte that a carry may still change
    uint64_t held_more_ = 0;  // bytes of 255 behind it
    bool has_held_ = false;
};

class NumberDecoder {
  public:
    explicit NumberDecoder(std::string_view bytes);

    uint64_t number(NumberContext& context);
    // Everything was read, and nothing that is not there.
    bool is_at_end() const { return at_ == bytes_.size() && missing_ == 0; }
    bool ok() const { return missing_ == 0; }

  private:
    bool bit(BitChance& chance);
    bool plain_bit();
    void normalise();
    uint8_t next();

    std::string_view bytes_;
    size_t at_ = 0;
    size_t missing_ = 0;
    uint32_t code_ = 0;
    uint32_t range_ = UINT32_MAX;
};

}  // namespace spanloom
