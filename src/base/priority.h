#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace spanloom {

// The calling thread alone leaves the cores, and by that the disk, to others where there are too
// few (Linux's niceness, 1 to 19). Where it fails nothing is worse than before.
inline void step_back(int niceness) {
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), niceness);
}

}  // namespace spanloom
