#pragma once

#include <cstdint>

namespace spanloom {

// Random numbers, handed in so that tests can repeat them. Not thread-safe: one per user.
class Random {
  public:
    virtual ~Random() = default;
    virtual uint64_t next() = 0;
    // In [0, bound); bound > 0. The bias is below bound / 2^64.
    uint64_t below(uint64_t bound) { return next() % bound; }
    // Uniform in [0, 1).
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
};

// splitmix64 from a seed.
class SeededRandom final : public Random {
  public:
    explicit SeededRandom(uint64_t seed) : state_(seed) {}
    uint64_t next() override;

  private:
    uint64_t state_;
};

// A seed from the operating system.
uint64_t random_seed();

}  // namespace spanloom
