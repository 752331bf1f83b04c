#include "sdk/block_pool.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace spanloom::sdk {
namespace {

constexpr size_t kBlockBytesMin = 4096;
constexpr size_t kSizes = 9;                       // 4 KiB to 1 MiB
constexpr size_t kKeptBytesMax = size_t{1} << 20;  // of each process, in all sizes

struct FreeBlock {
    FreeBlock* next;
};

struct Blocks {
    std::mutex mutex;
    std::array<FreeBlock*, kSizes> free{};
    size_t kept_bytes = 0;
};

// Never destroyed: spans may end in static destructors.
Blocks& blocks() noexcept {
    alignas(Blocks) static unsigned char storage[sizeof(Blocks)];
    static Blocks* const instance = new (storage) Blocks;
    return *instance;
}

size_t size_index(size_t bytes) noexcept {
    size_t index = 0;
    while (index < kSizes && (kBlockBytesMin << index) < bytes)
        ++index;
    return index;
}

}  // namespace

uint8_t* take_block(size_t bytes, size_t& got) noexcept {
    const size_t index = size_index(bytes);
    got = index < kSizes ? kBlockBytesMin << index : bytes;
    if (index < kSizes) {
        Blocks& pool = blocks();
        const std::lock_guard lock(pool.mutex);
        if (FreeBlock* block = pool.free[index]; block != nullptr) {
            pool.free[index] = block->next;
            pool.kept_bytes -= got;
            return reinterpret_cast<uint8_t*>(block);
        }
    }
    return static_cast<uint8_t*>(std::malloc(got));
}

void give_block(uint8_t* block, size_t bytes) noexcept {
    const size_t index = size_index(bytes);
    if (index < kSizes) {
        Blocks& pool = blocks();
        const std::lock_guard lock(pool.mutex);
        if (pool.kept_bytes + bytes <= kKeptBytesMax) {
            pool.free[index] = new (block) FreeBlock{pool.free[index]};
            pool.kept_bytes += bytes;
            return;
        }
    }
    std::free(block);
}

void lock_blocks() noexcept {
    blocks().mutex.lock();
}
void unlock_blocks() noexcept {
    blocks().mutex.unlock();
}

}  // namespace spanloom::sdk
