#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sdk/id_random.h"
#include "spanloom/context.h"

namespace spanloom::detail {

// How SpanRecord and the threads reach into a Context.
struct ContextAccess {
    static SpanContext& span_context(Context& context) noexcept { return context.span_context_; }
    static SpanRecord*& record(Context& context) noexcept { return context.record_; }
    static uint64_t& generation(Context& context) noexcept { return context.record_generation_; }
    static SpanRecord* record(const Context& context) noexcept { return context.record_; }
    static uint64_t generation(const Context& context) noexcept {
        return context.record_generation_;
    }
    static bool& is_suppressed(Context& context) noexcept { return context.is_suppressed_; }
    static Baggage& baggage(Context& context) noexcept { return context.baggage_; }
};

// What the SDK keeps for a thread: its active contexts, its generator of ids, its free span records
// and its ends of queues. Taken at the thread's first use of the SDK and handed to another thread
// after it ends; never freed, because records and scopes of other threads may still point here.
// Members are for the owning thread but where said.
class ThreadState {
  public:
    // ---- the stack of active contexts
    struct ContextEntry {
        std::atomic<uint64_t> token = 0;  // 0: closed, perhaps by another thread
        Context context;
    };
    static constexpr uint32_t kEntriesPerChunk = 64;
    static constexpr uint32_t kDepthMax = 64 * kEntriesPerChunk;

    // The innermost open context; null at the bottom.
    [[gnu::always_inline]] const Context* top() noexcept {
        while (depth_ != 0) {
            ContextEntry& top = entry(depth_ - 1);
            if (top.token.load(std::memory_order_relaxed) != 0) [[likely]]
                return &top.context;
            pop(top);
        }
        return nullptr;
    }
    // A new entry to fill, already open; null where scopes are nested too deeply. With a token it
    // is that of a Scope which was opened on another thread, by a flow that goes on here.
    ContextEntry* push(uint64_t token = 0) noexcept {
        if (depth_ >= kDepthMax || !ensure_chunk(depth_)) [[unlikely]]
            return nullptr;
        ContextEntry& added = entry(depth_++);
        added.token.store(token == 0 ? ++tokens_ : token, std::memory_order_relaxed);
        return &added;
    }
    uint32_t depth() const noexcept { return depth_; }
    // From any thread; does nothing where that scope is gone already.
    void close(uint32_t depth, uint64_t token) noexcept;
    // The usual case of it: by its own thread, the innermost one. False where it is not that.
    bool close_top(uint32_t depth, uint64_t token) noexcept {
        if (depth + 1 != depth_) return false;
        ContextEntry& top = entry(depth);
        if (top.token.load(std::memory_order_relaxed) != token || token == 0) return false;
        top.token.store(0, std::memory_order_relaxed);
        pop(top);
        return true;
    }
    // Takes everything above away, open or not.
    void truncate(uint32_t depth) noexcept {
        while (depth_ > depth) {
            ContextEntry& top = entry(depth_ - 1);
            top.token.store(0, std::memory_order_relaxed);
            pop(top);
        }
    }
    ContextEntry& at(uint32_t index) noexcept { return entry(index); }
    // Where the entries of the flow that runs here begin.
    static constexpr uint32_t kNoFlow = UINT32_MAX;
    uint32_t flow_base = kNoFlow;

    // ---- the rest of a thread's own things
    sdk::IdRandom ids;
    SpanRecord* free_records = nullptr;
    uint32_t free_record_count = 0;

    // Per-thread objects of providers and processors, found by their owner's number.
    struct Local {
        uint64_t owner = 0;
        void* object = nullptr;
    };
    static constexpr size_t kLocals = 16;
    std::array<Local, kLocals> locals{};

    ThreadState* next = nullptr;  // in the list of all, and of free ones

  private:
    ContextEntry& entry(uint32_t index) noexcept {
        return chunks_[index / kEntriesPerChunk][index % kEntriesPerChunk];
    }
    bool ensure_chunk(uint32_t index) noexcept {
        return chunks_[index / kEntriesPerChunk] != nullptr || add_chunk(index / kEntriesPerChunk);
    }
    bool add_chunk(uint32_t index) noexcept;
    bool close_carried(uint64_t token) noexcept;
    void pop(ContextEntry& top) noexcept {
        // Only what is shared need go now; the rest is written over.
        Context& context = top.context;
        if (!context.span_context().trace_state().empty()) [[unlikely]]
            ContextAccess::span_context(context) = SpanContext();
        if (!context.baggage().empty()) [[unlikely]]
            ContextAccess::baggage(context) = Baggage();
        --depth_;
    }

    uint32_t depth_ = 0;
    // Differ between threads, so that a scope never closes another's entry.
    uint64_t tokens_ = 0;
    std::array<ContextEntry*, kDepthMax / kEntriesPerChunk> chunks_{};

    friend ThreadState* take_thread_state() noexcept;
};

// The calling thread's; null before its first use of the SDK.
#if defined(__GNUC__)
extern __thread ThreadState* thread_state_or_null __attribute__((tls_model("initial-exec")));
#endif
ThreadState* take_thread_state() noexcept;

inline ThreadState& thread_state() noexcept {
    ThreadState* state = thread_state_or_null;
    if (state == nullptr) [[unlikely]]
        state = take_thread_state();
    return *state;
}

// In the child of a fork: the other threads are gone, ids must differ from the parent's.
void reset_threads_after_fork() noexcept;
// A number for the owner of per-thread objects.
uint64_t next_owner() noexcept;
// Around a fork, so that the child finds no lock taken.
void lock_thread_states() noexcept;
void unlock_thread_states() noexcept;

}  // namespace spanloom::detail
