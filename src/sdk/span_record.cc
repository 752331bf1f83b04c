#include "sdk/span_record.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "sdk/provider_core.h"

namespace spanloom::detail {

static_assert(sizeof(SpanRecord) == kRecordBytes);

std::atomic<uint32_t> fork_number = 0;

namespace {

constexpr uint32_t kRecordsPerSlab = 16;
// A thread that ends spans which others start gives their records on by this many.
constexpr uint32_t kFreeRecordsMax = 64;

struct SpareRecords {
    std::mutex mutex;
    SpanRecord* first = nullptr;
};

SpareRecords& spare_records() noexcept {
    alignas(SpareRecords) static unsigned char storage[sizeof(SpareRecords)];
    static SpareRecords* const instance = new (storage) SpareRecords;
    return *instance;
}

bool refill(ThreadState& thread) noexcept {
    SpareRecords& spare = spare_records();
    {
        const std::lock_guard lock(spare.mutex);
        while (spare.first != nullptr && thread.free_record_count < kRecordsPerSlab) {
            SpanRecord* record = spare.first;
            spare.first = record->next_free;
            record->next_free = thread.free_records;
            thread.free_records = record;
            ++thread.free_record_count;
        }
    }
    if (thread.free_record_count != 0) return true;
    auto* slab = static_cast<unsigned char*>(
        std::aligned_alloc(alignof(SpanRecord), sizeof(SpanRecord) * kRecordsPerSlab));
    if (slab == nullptr) return false;
    for (uint32_t i = 0; i < kRecordsPerSlab; ++i) {
        auto* record = new (slab + i * sizeof(SpanRecord)) SpanRecord;
        record->next_free = thread.free_records;
        thread.free_records = record;
    }
    thread.free_record_count = kRecordsPerSlab;
    return true;
}

void give_on(ThreadState& thread) noexcept {
    SpareRecords& spare = spare_records();
    const std::lock_guard lock(spare.mutex);
    while (thread.free_record_count > kFreeRecordsMax / 2) {
        SpanRecord* record = thread.free_records;
        thread.free_records = record->next_free;
        record->next_free = spare.first;
        spare.first = record;
        --thread.free_record_count;
    }
}

}  // namespace

void lock_spare_records() noexcept {
    spare_records().mutex.lock();
}
void unlock_spare_records() noexcept {
    spare_records().mutex.unlock();
}

SpanRecord* take_record() noexcept {
    ThreadState& thread = thread_state();
    SpanRecord* record = thread.free_records;
    if (record == nullptr) [[unlikely]] {
        if (!refill(thread)) return nullptr;
        record = thread.free_records;
    }
    thread.free_records = record->next_free;
    --thread.free_record_count;
    return record;
}

void give_record(SpanRecord* record) noexcept {
    ThreadState& thread = thread_state();
    record->next_free = thread.free_records;
    thread.free_records = record;
    if (++thread.free_record_count > kFreeRecordsMax) [[unlikely]]
        give_on(thread);
}

}  // namespace spanloom::detail
