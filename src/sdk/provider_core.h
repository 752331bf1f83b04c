#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/span_record.h"
#include "sdk/span_watch.h"
#include "sdk/thread_state.h"
#include "spanloom/tracer_provider.h"

namespace spanloom::detail {

class ProviderCore;

// What one thread has counted for one provider: written by that thread alone, read by all.
struct alignas(64) ThreadCounts {
    std::atomic<uint64_t> started = 0;
    std::atomic<uint64_t> not_sampled = 0;
    std::atomic<uint64_t> ended = 0;
    std::atomic<uint64_t> filtered = 0;
    std::atomic<uint64_t> too_many = 0;
    std::atomic<uint64_t> late = 0;
    // SpanWatch's; the thread's own: the count of started spans at which it looks again.
    uint64_t next_look = 0;
    uint64_t looked_at = 0;

    static void add(std::atomic<uint64_t>& count) noexcept {
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

// What distinguishes tracers.
struct TracerName {
    TracerName() = default;
    TracerName(std::string_view name, std::string_view version, std::string_view schema_url,
               AttributeList attributes);
    bool operator==(const TracerName& other) const {
        return scope == other.scope && schema_url == other.schema_url;
    }

    std::string name;
    std::string version;
    std::string schema_url;
    std::string scope;  // a serialised InstrumentationScope: all of these but the schema
};

// One tracer of one provider, as spans see it. Immutable but for what is atomic; never freed.
struct TracerCore {
    ProviderCore* provider = nullptr;
    SpanLimits limits;
    uint64_t duration_min_ns = 0;
    SpanSource source;
    TracerName name;
    bool is_enabled = true;
};

// A provider that was made: samplers, processors, tracers. Never freed (it is small), so that
// tracers and spans that outlive its shutdown find a no-op and not a hole.
class ProviderCore {
  public:
    explicit ProviderCore(ProviderOptions options);

    TracerEntry* entry(const TracerName& name);
    bool force_flush(Deadline deadline) noexcept;
    bool shutdown(Deadline deadline) noexcept;
    ProviderStats stats() const noexcept;
    void after_fork_in_child() noexcept;

    ThreadCounts& counts(ThreadState& thread) noexcept {
        ThreadState::Local& local = thread.locals[owner_ % ThreadState::kLocals];
        if (local.owner == owner_) [[likely]]
            return *static_cast<ThreadCounts*>(local.object);
        return find_counts(thread, local);
    }

    // ---- read by every span
    Sampler::Shortcut shortcut = Sampler::Shortcut::kNone;
    Sampler* sampler = nullptr;
    IdGenerator* id_generator = nullptr;  // null: the thread's own
    std::vector<SpanProcessor*> on_start;
    std::vector<SpanProcessor*> on_ending;
    std::vector<SpanProcessor*> on_end;
    std::atomic<bool> is_shut_down = false;
    std::atomic<uint64_t> dropped_letters = 0;
    std::atomic<uint64_t> late_letters = 0;

    ProviderOptions options;
    sdk::SpanWatch watch;

    // Makes an entry (of this provider or the global one) lead to this provider's tracer.
    void lead(TracerEntry* entry, const TracerName& name);

    // Around a fork. What watches spans is at rest once the provider is shut down.
    void lock() noexcept {
        mutex_.lock();
        is_watch_locked_ = !is_at_rest_.load(std::memory_order_acquire);
        if (is_watch_locked_) watch.lock();
    }
    void unlock() noexcept {
        if (is_watch_locked_) watch.unlock();
        mutex_.unlock();
    }

  private:
    TracerCore* find_tracer(const TracerName& name);
    ThreadCounts& find_counts(ThreadState& thread, ThreadState::Local& local) noexcept;

    uint64_t owner_;
    std::atomic<bool> is_at_rest_ = false;  // the shutdown is over

    mutable std::mutex mutex_;  // of what is below
    bool is_watch_locked_ = false;
    std::deque<TracerCore> tracers_;
    std::deque<std::pair<const TracerCore*, TracerEntry>> entries_;
    struct Counted {
        explicit Counted(ThreadState* of) : thread(of) {}
        ThreadState* thread;
        ThreadCounts counts;
    };
    std::deque<Counted> counted_;
};

struct ProviderAccess {
    static ProviderCore* core(const TracerProvider& provider) noexcept { return provider.core_; }
};

// Around a fork: the lock of the global provider and its tracers.
void lock_global_provider() noexcept;
void unlock_global_provider() noexcept;

}  // namespace spanloom::detail
