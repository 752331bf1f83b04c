#pragma once

#include <cstdint>

namespace spanloom {

// Tells the allocator how long to keep what was freed. What goes back to the system and is soon
// wanted again comes back page by page, and cleared: a twentieth of what a span costs where few
// come. So a process that is small keeps it for ten seconds, a larger one for the fifth of a second
// that allocator.cc begins with. One thread. Does nothing where the allocator is not jemalloc.
class FreedMemory {
  public:
    // A full ingest grows by a hundred MB in less than a second.
    static constexpr uint32_t kLookEveryMs = 100;

    void look();
    // How long what was freed is kept by a process that holds so much.
    static int64_t kept_ms(uint64_t held_bytes);

  private:
    int64_t kept_ms_ = 0;
};

}  // namespace spanloom
