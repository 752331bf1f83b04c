#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>

#include "sdk/thread_state.h"

namespace spanloom::sdk {

// A finished span in a queue: who made it, and its bytes behind this.
struct alignas(8) QueuedSpan {
    const void* tracer;  // a detail::TracerCore
    uint32_t size;

    std::string_view message() const noexcept {
        return {reinterpret_cast<const char*>(this + 1), size};
    }
};

// A piece of a thread's queue. Written by its producer up to `committed`, read by the one consumer.
struct Chunk {
    std::atomic<Chunk*> next = nullptr;  // set by the producer after its last commit here
    std::atomic<uint32_t> committed = 0;
    uint32_t capacity = 0;

    uint8_t* data() noexcept { return reinterpret_cast<uint8_t*>(this + 1); }
};

// The memory of all queues of one processor: chunks, up to a budget in bytes. Chunks that are read
// are handed out again. Thread-safe; locked once for many spans.
class ChunkPool {
  public:
    static constexpr uint32_t kFirstBytes = 4096;   // of a thread that begins
    static constexpr uint32_t kChunkBytes = 32768;  // of one that goes on

    explicit ChunkPool(uint64_t bytes_max) : bytes_max_(bytes_max) {}
    ~ChunkPool();

    // Null where the budget is used up. A thread's first chunk is always granted: it is smaller
    // than the thread's own stack.
    Chunk* take(uint32_t payload_bytes, bool is_first) noexcept;
    void give(Chunk* chunk) noexcept;
    // Frees half of what lies unused: after a burst.
    void shrink() noexcept;

    uint64_t used_bytes() const noexcept { return used_bytes_.load(std::memory_order_relaxed); }
    bool is_half_full() const noexcept { return used_bytes() > bytes_max_ / 2; }
    uint64_t bytes_max() const noexcept { return bytes_max_; }

  private:
    const uint64_t bytes_max_;
    std::atomic<uint64_t> used_bytes_ = 0;
    std::mutex mutex_;
    Chunk* free_ = nullptr;  // all of kChunkBytes
    uint32_t free_count_ = 0;
};

// One thread's queue of finished spans: a chain of chunks. No lock, no atomic read-modify-write and
// no allocation but once for many spans. The producer is the thread that has the queue now, the
// consumer the processor's drain thread; the queue stays with the ThreadState, and so passes from a
// thread that ends to one that begins.
class SpanQueue {
  public:
    enum class Push : uint8_t { kDone, kDoneInNewChunk, kFull, kTooBig };

    explicit SpanQueue(detail::ThreadState* thread) : thread_(thread) {}
    // Neither side is there any more.
    ~SpanQueue();
    SpanQueue(const SpanQueue&) = delete;
    SpanQueue& operator=(const SpanQueue&) = delete;
    detail::ThreadState* thread() const noexcept { return thread_; }

    // ---- the producer's side
    Push push(ChunkPool& pool, const void* tracer, std::string_view message) noexcept {
        const size_t bytes = sizeof(QueuedSpan) + ((message.size() + 7) & ~size_t{7});
        Push result = Push::kDone;
        if (write_ == nullptr || bytes > write_->capacity - write_at_) [[unlikely]] {
            result = add_chunk(pool, bytes);
            if (result != Push::kDoneInNewChunk) return result;
        }
        auto* head = reinterpret_cast<QueuedSpan*>(write_->data() + write_at_);
        head->tracer = tracer;
        head->size = static_cast<uint32_t>(message.size());
        copy_message(reinterpret_cast<uint8_t*>(head + 1), message);
        write_at_ += static_cast<uint32_t>(bytes);
        write_->committed.store(write_at_, std::memory_order_release);
        return result;
    }
    // Spans since the processor was last told of them.
    uint32_t untold = 0;
    // Written by the producer alone, read by all.
    std::atomic<uint64_t> received = 0;
    std::atomic<uint64_t> dropped_queue_full = 0;
    std::atomic<uint64_t> dropped_too_big = 0;
    std::atomic<uint64_t> dropped_after_shutdown = 0;

    // ---- the consumer's side
    // The next span that was not peeked at yet; null where there is none.
    const QueuedSpan* peek() noexcept;
    // What was peeked at is done with: chunks that are read to their end go back.
    void consume(ChunkPool& pool) noexcept;

  private:
    Push add_chunk(ChunkPool& pool, size_t bytes) noexcept;
    static void copy_message(uint8_t* to, std::string_view message) noexcept {
        std::memcpy(to, message.data(), message.size());
    }

    detail::ThreadState* thread_;
    Chunk* write_ = nullptr;
    uint32_t write_at_ = 0;
    std::atomic<Chunk*> first_ = nullptr;  // where the consumer begins
    alignas(64) Chunk* read_ = nullptr;    // the oldest that is not given back
    Chunk* peek_ = nullptr;
    uint32_t peek_at_ = 0;
};

}  // namespace spanloom::sdk
