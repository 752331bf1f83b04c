#pragma once

#include <cstdint>

namespace spanloom {

// What this process holds of the machine's memory; zeros where the system does not tell.
struct ProcessMemory {
    uint64_t resident_bytes = 0;
    uint64_t file_bytes = 0;  // of them, those that files have as well
};
ProcessMemory process_memory();

}  // namespace spanloom
