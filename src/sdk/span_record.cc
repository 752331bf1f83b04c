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
// What a thread keeps that has too many.
constexpr uint32_t kRecordsKept = 32;

struct SpareRecords {
    std::mutex mutex;
    SpanRecord* first = nullptr;
};

SpareRecords& spare_records() noexcept {
    alignas(SpareRecords) static unsigned char storage[sizeof(SpareRecords)];
    static SpareRecords* const instance = new (storage) SpareRecords;
    return *instance;
}

}  // namespace

SpanRecord* refill_records(ThreadState& thread) noexcept {
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
    if (thread.free_record_count != 0) return thread.free_records;
    auto* slab = static_cast<unsigned char*>(
        std::aligned_alloc(alignof(SpanRecord), sizeof(SpanRecord) * kRecordsPerSlab));
    if (slab == nullptr) return nullptr;
    for (uint32_t i = 0; i < kRecordsPerSlab; ++i) {
        auto* record = new (slab + i * sizeof(SpanRecord)) SpanRecord;
        record->next_free = thread.free_records;
        thread.free_records = record;
    }
    thread.free_record_count = kRecordsPerSlab;
    return thread.free_records;
}

void give_records_on(ThreadState& thread) noexcept {
    SpareRecords& spare = spare_records();
    const std::lock_guard lock(spare.mutex);
    while (thread.free_record_count > kRecordsKept) {
        SpanRecord* record = thread.free_records;
        thread.free_records = record->next_free;
        record->next_free = spare.first;
        spare.first = record;
        --thread.free_record_count;
    }
}

void lock_spare_records() noexcept {
    spare_records().mutex.lock();
}
void unlock_spare_records() noexcept {
    spare_records().mutex.unlock();
}

}  // namespace spanloom::detail
