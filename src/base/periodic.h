#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace spanloom {

// Calls `work` on a thread of its own until it is destroyed; that waits for a call under way. The
// first time after so many milliseconds, then after as many as the last call said.
class Periodic {
  public:
    Periodic(const char* name, uint32_t first_ms, std::function<uint32_t()> work);
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
