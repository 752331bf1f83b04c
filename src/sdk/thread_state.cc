#include "sdk/thread_state.h"

#include <cstdlib>
#include <mutex>
#include <new>

#include <pthread.h>

namespace spanloom::detail {

__thread ThreadState* thread_state_or_null __attribute__((tls_model("initial-exec"))) = nullptr;
bool has_contexts = false;

namespace {

struct ThreadStates {
    std::mutex mutex;
    ThreadState* free = nullptr;
    uint64_t count = 0;
    pthread_key_t key{};
};

void give_thread_state(void* state) noexcept;

// Never destroyed: threads end after static destructors.
ThreadStates& thread_states() noexcept {
    alignas(ThreadStates) static unsigned char storage[sizeof(ThreadStates)];
    static ThreadStates* const instance = [] {
        auto* made = new (storage) ThreadStates;
        pthread_key_create(&made->key, &give_thread_state);
        return made;
    }();
    return *instance;
}

// A destructor of a pthread key runs after those of thread_local objects, which may use spans.
void give_thread_state(void* state) noexcept {
    auto* given = static_cast<ThreadState*>(state);
    while (given->top() != nullptr) {
        // Contexts whose scopes were never closed must not reach the next thread.
        given->close(given->depth() - 1, 0);
    }
    given->flow_base = ThreadState::kNoFlow;
    thread_state_or_null = nullptr;
    ThreadStates& all = thread_states();
    const std::lock_guard lock(all.mutex);
    given->next = all.free;
    all.free = given;
}

}  // namespace

ThreadState* take_thread_state() noexcept {
    ThreadStates& all = thread_states();
    ThreadState* state = nullptr;
    uint64_t number = 0;
    {
        const std::lock_guard lock(all.mutex);
        state = all.free;
        if (state != nullptr) all.free = state->next;
        number = ++all.count;
    }
    if (state == nullptr) {
        state = new (std::nothrow) ThreadState;
        if (state == nullptr) std::abort();  // no thread can go on without its first kilobytes
    }
    state->next = nullptr;
    state->ids.reseed();
    state->tokens_ = number << 40;
    pthread_setspecific(all.key, state);
    thread_state_or_null = state;
    return state;
}

bool ThreadState::add_chunk(uint32_t index) noexcept {
    chunks_[index] = new (std::nothrow) ContextEntry[kEntriesPerChunk];
    return chunks_[index] != nullptr;
}

void ThreadState::close(uint32_t depth, uint64_t token) noexcept {
    if (chunks_[depth / kEntriesPerChunk] == nullptr) return;
    ContextEntry& closed = entry(depth);
    if (token == 0) {  // whatever is there
        closed.token.store(0, std::memory_order_relaxed);
        return;
    }
    ThreadState* const here = thread_state_or_null;
    if (here != this || closed.token.load(std::memory_order_relaxed) != token) {
        // Opened elsewhere: by a flow that has come here since, or else by the other thread's own.
        if (here != nullptr && here->close_carried(token)) return;
        closed.token.compare_exchange_strong(token, 0, std::memory_order_relaxed);
        return;
    }
    closed.token.store(0, std::memory_order_relaxed);
    top();  // pops it, and what is closed below it
}

bool ThreadState::close_carried(uint64_t token) noexcept {
    for (uint32_t i = depth_; flow_base != kNoFlow && i-- > flow_base;) {
        if (entry(i).token.load(std::memory_order_relaxed) != token) continue;
        entry(i).token.store(0, std::memory_order_relaxed);
        top();
        return true;
    }
    return false;
}

uint64_t next_owner() noexcept {
    static std::atomic<uint64_t> owners = 0;
    return owners.fetch_add(1, std::memory_order_relaxed) + 1;
}

void lock_thread_states() noexcept {
    thread_states().mutex.lock();
}
void unlock_thread_states() noexcept {
    thread_states().mutex.unlock();
}

void reset_threads_after_fork() noexcept {
    if (thread_state_or_null == nullptr) return;
    thread_state_or_null->ids.reseed();
}

}  // namespace spanloom::detail
