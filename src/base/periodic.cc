#include "base/periodic.h"

#include <chrono>
#include <utility>

#include <pthread.h>

namespace spanloom {

Periodic::Periodic(const char* name, uint32_t first_ms, std::function<uint32_t()> work) {
    thread_ = std::thread([this, first_ms, work = std::move(work)] {
        std::unique_lock lock(mutex_);
        std::chrono::milliseconds pause(first_ms);
        while (!stopping_.wait_for(lock, pause, [this] { return is_stopping_; })) {
            lock.unlock();
            pause = std::chrono::milliseconds(work());
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
