#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace spanloom {

// Tells the allocator how long to keep what was freed. What goes back to the system and is soon
// wanted again comes back page by page, and cleared: a twentieth of what a span costs where few
// come, and of what a query takes. So it is kept for ten seconds; where much comes in, and the
// process is large, for the fifth of a second that allocator.cc begins with. One thread. Does
// nothing where the allocator is not jemalloc.
class FreedMemory {
  public:
    static constexpr uint32_t kLookEveryMsMin = 100;
    static constexpr uint32_t kLookEveryMsMax = 1000;
    // Bytes of spans that are not in files yet.
    using UnwrittenBytes = std::function<uint64_t()>;

    explicit FreedMemory(UnwrittenBytes unwritten_bytes)
        : unwritten_bytes_(std::move(unwritten_bytes)) {}

    // After how many ms to look again: before the process can be large.
    uint32_t look();
    // By what the process holds in all; of a small one the rest is not asked.
    static int64_t kept_ms(uint64_t held_bytes, const UnwrittenBytes& unwritten_bytes);

  private:
    UnwrittenBytes unwritten_bytes_;
    int64_t kept_ms_ = 0;
    uint32_t undecayed_ms_ = 0;
};

}  // namespace spanloom
