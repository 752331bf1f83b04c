#include "base/process_memory.h"

#include <cstdio>

#include <unistd.h>

namespace spanloom {

ProcessMemory process_memory() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return {};
    unsigned long resident = 0;
    unsigned long shared = 0;
    const int read = std::fscanf(file, "%*u %lu %lu", &resident, &shared);
    std::fclose(file);
    if (read != 2) return {};
    const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    return {resident * page_bytes, shared * page_bytes};
}

}  // namespace spanloom
