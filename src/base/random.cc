#include "base/random.h"

#include <sys/random.h>

#include "base/result.h"

namespace spanloom {

uint64_t SeededRandom::next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint64_t random_seed() {
    uint64_t seed = 0;
    SPANLOOM_ASSERT(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
    return seed;
}

}  // namespace spanloom
