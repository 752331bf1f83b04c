#include "sdk/background_thread.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <signal.h>

#include "spanloom/context.h"

namespace spanloom::sdk {

std::thread start_background_thread(std::function<void()> run) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread thread(std::move(run));
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return thread;
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
}

struct PunctualCalls::Shared {
    std::mutex mutex;
    std::condition_variable returned;
    std::vector<bool> is_done;
    bool is_clean = true;
};

PunctualCalls::PunctualCalls() : shared_(std::make_shared<Shared>()) {}

PunctualCalls::~PunctualCalls() {
    for (std::thread& thread : threads_)
        if (thread.joinable()) thread.detach();
}

void PunctualCalls::start(std::function<bool()> call) {
    const size_t index = threads_.size();
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->is_done.push_back(false);
    }
    const auto run = [shared = shared_, index, call = std::move(call)] {
        const Scope silent(Context().with_suppression());
        const bool is_clean = call();
        const std::lock_guard lock(shared->mutex);
        shared->is_done[index] = true;
        shared->is_clean = shared->is_clean && is_clean;
        shared->returned.notify_all();
    };
    threads_.emplace_back();
    try {
        threads_.back() = start_background_thread(run);
    } catch (const std::system_error&) {
        run();  // no thread to be had: better late than never
    }
}

bool PunctualCalls::wait(Deadline deadline) noexcept {
    const uint64_t bounded = std::min<uint64_t>(deadline.monotonic_ns(), INT64_MAX);
    const std::chrono::steady_clock::time_point until(
        std::chrono::nanoseconds(static_cast<int64_t>(bounded)));
    std::unique_lock lock(shared_->mutex);
    const auto& is_done = shared_->is_done;
    const bool are_done = shared_->returned.wait_until(lock, until, [&] {
        return std::find(is_done.begin(), is_done.end(), false) == is_done.end();
    });
    const std::vector<bool> done = is_done;
    const bool is_clean = are_done && shared_->is_clean;
    lock.unlock();
    for (size_t i = 0; i < threads_.size(); ++i) {
        if (!threads_[i].joinable()) continue;
        if (done[i]) {
            threads_[i].join();
        } else {
            threads_[i].detach();
        }
    }
    return is_clean;
}

bool call_punctually(std::function<bool()> call, Deadline deadline) noexcept {
    try {
        PunctualCalls calls;
        calls.start(std::move(call));
        return calls.wait(deadline);
    } catch (...) {  // out of memory
        return false;
    }
}

}  // namespace spanloom::sdk
