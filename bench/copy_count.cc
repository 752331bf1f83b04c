// Preloaded into the server by bench/copies.py: counts what it copies in memory, thread by thread.
// At the end of the process a line per thread goes to the file that COPY_COUNT_FILE names: calls,
// bytes, and the thread's name.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <sys/prctl.h>

namespace {

constexpr size_t kThreadsMax = 1024;
constexpr uint64_t kNameEvery = 1024;  // calls: threads get their names after they have begun

struct Counter {
    uint64_t calls = 0;
    uint64_t bytes = 0;
    std::array<char, 17> name{};
};

std::array<Counter, kThreadsMax> counters;
std::atomic<uint32_t> counters_used;
thread_local Counter* own = nullptr;

void count(size_t size) {
    if (own == nullptr) {
        const uint32_t place = counters_used++;
        own = &counters[place < kThreadsMax ? place : kThreadsMax - 1];
    }
    if (own->calls++ % kNameEvery == 0) prctl(PR_GET_NAME, own->name.data());
    own->bytes += size;
}

// Not a loop that the compiler would turn into a call of memcpy.
void copy_up(void* to, const void* from, size_t size) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

__attribute__((destructor)) void report() {
    const char* path = std::getenv("COPY_COUNT_FILE");
    FILE* file = path == nullptr ? nullptr : std::fopen(path, "w");
    if (file == nullptr) return;
    for (uint32_t i = 0; i < counters_used && i < kThreadsMax; ++i)
        std::fprintf(file, "%llu %llu %s\n", static_cast<unsigned long long>(counters[i].calls),
                     static_cast<unsigned long long>(counters[i].bytes), counters[i].name.data());
    std::fclose(file);
}

}  // namespace

extern "C" {

void* memcpy(void* __restrict to, const void* __restrict from, size_t size) {
    count(size);
    copy_up(to, from, size);
    return to;
}

void* memmove(void* to, const void* from, size_t size) {
    count(size);
    if (reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from) >= size) {
        copy_up(to, from, size);
        return to;
    }
    auto* end = static_cast<volatile char*>(to);
    const auto* source = static_cast<const volatile char*>(from);
    for (size_t i = size; i > 0; --i)
        end[i - 1] = source[i - 1];
    return to;
}

void* mempcpy(void* __restrict to, const void* __restrict from, size_t size) {
    return static_cast<char*>(memcpy(to, from, size)) + size;
}

}  // extern "C"
