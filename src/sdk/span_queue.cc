#include "sdk/span_queue.h"

#include <cstdlib>
#include <new>

namespace spanloom::sdk {
namespace {

constexpr size_t kLineBytes = 64;  // of the processor's caches

}  // namespace

ChunkPool::~ChunkPool() {
    while (free_ != nullptr) {
        Chunk* next = free_->next.load(std::memory_order_relaxed);
        std::free(free_);
        free_ = next;
    }
}

Chunk* ChunkPool::take(uint32_t payload_bytes, bool is_first) noexcept {
    const uint32_t usual = (is_first ? kFirstBytes : kChunkBytes) - sizeof(Chunk);
    const uint32_t capacity = payload_bytes > usual ? payload_bytes : usual;
    const uint64_t bytes = capacity + sizeof(Chunk);
    const bool is_small = is_first && bytes == kFirstBytes;
    if (used_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes > bytes_max_ && !is_small) {
        used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
        return nullptr;
    }
    void* memory = nullptr;
    if (bytes == kChunkBytes) {
        const std::lock_guard lock(mutex_);
        if (free_ != nullptr) {
            memory = free_;
            free_ = free_->next.load(std::memory_order_relaxed);
            --free_count_;
        }
    }
    if (memory == nullptr) memory = std::malloc(bytes);
    if (memory == nullptr) {
        used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
        return nullptr;
    }
    auto* chunk = new (memory) Chunk;
    chunk->capacity = capacity;
    return chunk;
}

void ChunkPool::give(Chunk* chunk) noexcept {
    const uint64_t bytes = chunk->capacity + sizeof(Chunk);
    used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    if (bytes != kChunkBytes) {
        std::free(chunk);
        return;
    }
    const std::lock_guard lock(mutex_);
    chunk->next.store(free_, std::memory_order_relaxed);
    free_ = chunk;
    ++free_count_;
}

void ChunkPool::shrink() noexcept {
    const std::lock_guard lock(mutex_);
    for (uint32_t left = free_count_ / 2; free_count_ > left;) {
        Chunk* chunk = free_;
        free_ = chunk->next.load(std::memory_order_relaxed);
        --free_count_;
        std::free(chunk);
    }
}

SpanQueue::~SpanQueue() {
    Chunk* chunk = read_ != nullptr ? read_ : first_.load(std::memory_order_acquire);
    while (chunk != nullptr) {
        Chunk* next = chunk->next.load(std::memory_order_acquire);
        std::free(chunk);
        chunk = next;
    }
}

SpanQueue::Push SpanQueue::add_chunk(ChunkPool& pool, size_t bytes) noexcept {
    if (bytes + sizeof(Chunk) > pool.bytes_max() || bytes > UINT32_MAX) return Push::kTooBig;
    Chunk* chunk = pool.take(static_cast<uint32_t>(bytes), write_ == nullptr);
    if (chunk == nullptr) return Push::kFull;
    if (write_ == nullptr) {
        first_.store(chunk, std::memory_order_release);
    } else {
        write_->next.store(chunk, std::memory_order_release);
    }
    write_ = chunk;
    write_at_ = 0;
    return Push::kDoneInNewChunk;
}

const QueuedSpan* SpanQueue::peek() noexcept {
    if (peek_ == nullptr) {
        peek_ = read_ = first_.load(std::memory_order_acquire);
        if (peek_ == nullptr) return nullptr;
    }
    while (peek_at_ == peek_->committed.load(std::memory_order_acquire)) {
        Chunk* next = peek_->next.load(std::memory_order_acquire);
        if (next == nullptr) return nullptr;
        // The last commit came before `next` was set: look once more, now for sure.
        if (peek_at_ != peek_->committed.load(std::memory_order_acquire)) break;
        peek_ = next;
        peek_at_ = 0;
    }
    const uint8_t* const at = peek_->data() + peek_at_;
    // It was written on another core: ask for what comes next while this span is
    // looked at.
    __builtin_prefetch(at + 4 * kLineBytes);
    __builtin_prefetch(at + 5 * kLineBytes);
    __builtin_prefetch(at + 6 * kLineBytes);
    __builtin_prefetch(at + 7 * kLineBytes);
    auto* span = reinterpret_cast<const QueuedSpan*>(at);
    peek_at_ += static_cast<uint32_t>(sizeof(QueuedSpan) + ((span->size + 7U) & ~7U));
    return span;
}

void SpanQueue::consume(ChunkPool& pool) noexcept {
    while (read_ != peek_) {
        Chunk* next = read_->next.load(std::memory_order_acquire);
        pool.give(read_);
        read_ = next;
    }
}

}  // namespace spanloom::sdk
