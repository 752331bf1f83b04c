#include "store/segment_filter.h"

#include <array>
#include <cstring>

#include "base/hash.h"

namespace spanloom::store {
namespace {

constexpr size_t kBlockBytes = 32;  // eight words, one bit of each is set per hash
constexpr size_t kBlocksPerPage = kFilterPageBytes / kBlockBytes;
constexpr size_t kBitsPerHash = 9;

constexpr std::array<uint32_t, 8> kSalts = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
                                            0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

size_t block_of(uint64_t hash, size_t blocks) {
    // The high half picks the block (multiplication instead of a remainder), the low half the bits.
    return static_cast<size_t>(((hash >> 32) * blocks) >> 32);
}

uint32_t bit_of(uint64_t hash, size_t word) {
    return uint32_t{1} << ((static_cast<uint32_t>(hash) * kSalts[word]) >> 27);
}

}  // namespace

uint64_t filter_seed(Scope scope, Intrinsic intrinsic, std::string_view key, ValueKind kind) {
    const uint64_t place = (static_cast<uint64_t>(scope) << 16) |
                           (static_cast<uint64_t>(intrinsic) << 8) | static_cast<uint64_t>(kind);
    return hash64(key, place);
}

FilterBuilder::FilterBuilder() : recent_(size_t{1} << kRecentBits) {
    recent_[0] = ~uint64_t{0};  // the first place would take hash 0 for one that was there
}

std::string FilterBuilder::build() const {
    if (hashes_.empty()) return {};
    const size_t page_hashes = kFilterPageBytes * 8 / kBitsPerHash;
    const size_t pages = (hashes_.size() + page_hashes - 1) / page_hashes;
    const size_t blocks = pages * kBlocksPerPage;
    std::string bytes(pages * kFilterPageBytes, '\0');
    for (const uint64_t hash : hashes_) {
        char* block = bytes.data() + block_of(hash, blocks) * kBlockBytes;
        for (size_t word = 0; word < kSalts.size(); ++word) {
            uint32_t bits = 0;
            std::memcpy(&bits, block + word * 4, 4);
            bits |= bit_of(hash, word);
            std::memcpy(block + word * 4, &bits, 4);
        }
    }
    return bytes;
}

FilterPlace filter_place(uint64_t hash, uint32_t pages) {
    const size_t block = block_of(hash, size_t{pages} * kBlocksPerPage);
    return {static_cast<uint32_t>(block / kBlocksPerPage),
            static_cast<uint32_t>(block % kBlocksPerPage)};
}

bool filter_page_may_contain(std::string_view page, FilterPlace place, uint64_t hash) {
    if (page.size() != kFilterPageBytes) return true;
    const char* block = page.data() + place.block * kBlockBytes;
    for (size_t word = 0; word < kSalts.size(); ++word) {
        uint32_t bits = 0;
        std::memcpy(&bits, block + word * 4, 4);
        if ((bits & bit_of(hash, word)) == 0) return false;
    }
    return true;
}

}  // namespace spanloom::store
