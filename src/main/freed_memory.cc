#include "main/freed_memory.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

#include "base/process_memory.h"

// jemalloc's, where the program is linked with it (tests with sanitizers are not).
extern "C" __attribute__((weak)) int mallctl(const char* name, void* old_value, size_t* old_size,
                                             void* new_value, size_t new_size);

namespace spanloom {
namespace {

constexpr uint64_t kSmallBytes = 152U << 20;
constexpr uint64_t kFewBytes = 24U << 20;
constexpr int64_t kLongMs = 10'000;
constexpr int64_t kShortMs = 200;
constexpr uint64_t kGrowthPerMs = 160'000;  // a full ingest's
constexpr uint32_t kDecayEveryMs = 2000;    // what goes back goes in few pieces

// Memory that is in no file; 0 where it cannot be told.
uint64_t held_bytes() {
    const ProcessMemory memory = process_memory();
    return memory.resident_bytes - std::min(memory.resident_bytes, memory.file_bytes);
}

void set_arenas(int64_t kept) {
    unsigned arenas = 0;
    size_t size = sizeof(arenas);
    if (mallctl("arenas.narenas", &arenas, &size, nullptr, 0) != 0) return;
    for (unsigned arena = 0; arena < arenas; ++arena)
        (void)mallctl(fmt::format("arena.{}.dirty_decay_ms", arena).c_str(), nullptr, nullptr,
                      &kept, sizeof(kept));
}

}  // namespace

int64_t FreedMemory::kept_ms(uint64_t held_bytes, const UnwrittenBytes& unwritten_bytes) {
    return held_bytes <= kSmallBytes || unwritten_bytes() <= kFewBytes ? kLongMs : kShortMs;
}

uint32_t FreedMemory::look() {
    if (mallctl == nullptr) return kLookEveryMsMax;
    const uint64_t held = held_bytes();
    const uint64_t room = kSmallBytes - std::min(held, kSmallBytes);
    const auto pause_ms = static_cast<uint32_t>(
        std::clamp<uint64_t>(room / kGrowthPerMs, kLookEveryMsMin, kLookEveryMsMax));
    int64_t kept = kept_ms(held, unwritten_bytes_);
    if (kept != kept_ms_) {
        kept_ms_ = kept;
        // Of arenas that come, and of those that are there.
        (void)mallctl("arenas.dirty_decay_ms", nullptr, nullptr, &kept, sizeof(kept));
        set_arenas(kept);
    }
    // Of all arenas (MALLCTL_ARENAS_ALL): where nobody allocates any more it would stay for ever.
    undecayed_ms_ += pause_ms;
    if (undecayed_ms_ < kDecayEveryMs) return pause_ms;
    undecayed_ms_ = 0;
    (void)mallctl("arena.4096.decay", nullptr, nullptr, nullptr, 0);
    return pause_ms;
}

}  // namespace spanloom
