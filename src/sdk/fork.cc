#include "sdk/fork.h"

#include <mutex>
#include <vector>

#include <pthread.h>

#include "sdk/block_pool.h"
#include "sdk/provider_core.h"
#include "sdk/signal_flush.h"
#include "sdk/span_record.h"
#include "sdk/thread_state.h"

namespace spanloom::detail {
namespace {

// Every provider of the process; reachable here, they are never freed.
struct Followed {
    std::mutex mutex;
    std::vector<ProviderCore*> providers;
    std::vector<std::shared_ptr<void>> left;
};

Followed& followed() noexcept {
    static auto* const instance = new Followed;
    return *instance;
}

// Locks are taken so that the child finds none taken by a thread that it does not have; in the
// order in which the SDK nests them. None of them is held while code of others runs. (Processors
// and exporters, which are called for long, make themselves anew in the child instead.)
void before_fork() noexcept {
    lock_global_provider();
    followed().mutex.lock();
    for (ProviderCore* provider : followed().providers)
        provider->lock();
    lock_thread_states();
    lock_spare_records();
    sdk::lock_blocks();
    sdk::tick_clock.lock();
}

void unlock_all() noexcept {
    sdk::tick_clock.unlock();
    sdk::unlock_blocks();
    unlock_spare_records();
    unlock_thread_states();
    for (ProviderCore* provider : followed().providers)
        provider->unlock();
    followed().mutex.unlock();
    unlock_global_provider();
}

void after_fork_in_child() noexcept {
    fork_number.fetch_add(1, std::memory_order_relaxed);
    reset_threads_after_fork();
    for (ProviderCore* provider : followed().providers)
        provider->after_fork_in_child();
    sdk::leave_signals_to_parent();
    unlock_all();
}

}  // namespace

void leave_to_parent(std::shared_ptr<void> object) noexcept {
    try {
        followed().left.push_back(std::move(object));
    } catch (...) {  // out of memory: the child goes on with one object less
    }
}

void follow_forks(ProviderCore* provider) {
    static std::once_flag registered;
    std::call_once(registered,
                   [] { pthread_atfork(&before_fork, &unlock_all, &after_fork_in_child); });
    const std::lock_guard lock(followed().mutex);
    followed().providers.push_back(provider);
}

}  // namespace spanloom::detail
