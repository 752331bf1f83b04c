#include "base/periodic.h"

#include <chrono>
#include <utility>

#include <pthread.h>

namespace spanloom {

Periodic::Periodic(const char* name, uint32_t every_ms, std::function<void()> work) {
    thread_ = std::thread([this, every_ms, work = std::move(work)] {
        std::unique_lock lock(mutex_);
        const std::chrono::milliseconds pause(every_ms);
        while (!stopping_.wait_for(lock, pause, [this] { return is_stopping_; })) {
            lock.unlock();
            work();
            lock.lock();
        }
    });
    pthread_setname_np(thread_.native_handle(), name);
}

Periodic::~Periodic() {
    {
        std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    stopping_.notify_all();
    thread_.join();
}

}  // namespace spanloom
