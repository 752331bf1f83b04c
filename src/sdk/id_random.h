#pragma once

#include <cstdint>

#include "base/random.h"

namespace spanloom::sdk {

// xoshiro256++ (Blackman and Vigna): the ids of one thread. 256 bits of state, seeded by the
// operating system, so that no two threads of a fleet walk the same path.
class IdRandom {
  public:
    // Also in the child of a fork, which would go on with its parent's ids.
    void reseed() noexcept {
        for (uint64_t& word : state_)
            word = random_seed();
        state_[0] |= 1;  // all zero is the one state that stands still
    }
    [[gnu::always_inline]] uint64_t next() noexcept {
        const uint64_t result = rotate(state_[0] + state_[3], 23) + state_[0];
        const uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate(state_[3], 45);
        return result;
    }

  private:
    static uint64_t rotate(uint64_t value, int bits) noexcept {
        return value << bits | value >> (64 - bits);
    }
    uint64_t state_[4] = {1, 2, 3, 4};
};

}  // namespace spanloom::sdk
