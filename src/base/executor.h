#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace spanloom {

// Runs work somewhere else, handed in so that tests decide when. Thread-safe.
class Executor {
  public:
    virtual ~Executor() = default;
    virtual void post(std::function<void()> work) = 0;
};

// Runs each piece at once, in the thread that posts it.
class InlineExecutor final : public Executor {
  public:
    void post(std::function<void()> work) override { work(); }
};

// `threads` threads with the given name (as `top -H` shows it). The destructor runs what is
// queued, then joins. With a niceness (of Linux) above 0 they leave the cores to others' threads
// where there are too few.
std::unique_ptr<Executor> make_thread_pool(size_t threads, const char* name, int niceness = 0);

}  // namespace spanloom
