#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace spanloom {

// Calls `work` every so many milliseconds on a thread of its own, the first time after as many,
// until it is destroyed; that waits for a call under way.
class Periodic {
  public:
    Periodic(const char* name, uint32_t every_ms, std::function<void()> work);
    ~Periodic();
    Periodic(const Periodic&) = delete;
    Periodic& operator=(const Periodic&) = delete;

  private:
    std::mutex mutex_;
    std::condition_variable stopping_;
    bool is_stopping_ = false;
    std::thread thread_;
};

}  // namespace spanloom
