#pragma once

#include <cstdint>
#include <string_view>

#include <xxhash.h>

namespace spanloom {

// XXH3. Checksums use no seed; tables keyed by what strangers send use a random one.
inline uint64_t hash64(std::string_view bytes, uint64_t seed = 0) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace spanloom
