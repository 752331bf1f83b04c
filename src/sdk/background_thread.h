#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "spanloom/timestamp.h"

namespace spanloom::sdk {

// A thread that gets none of the program's signals. Throws std::system_error where there is none to
// be had.
std::thread start_background_thread(std::function<void()> run);

// Calls that may block (a user's processor or exporter), each on a thread of its own, so that the
// caller can go on at its deadline whatever they do. One thread.
class PunctualCalls {
  public:
    PunctualCalls();
    ~PunctualCalls();
    PunctualCalls(const PunctualCalls&) = delete;
    PunctualCalls& operator=(const PunctualCalls&) = delete;

    // Runs under a context in which nothing is traced. `call` owns what it uses: where it does not
    // return in time it is left behind.
    void start(std::function<bool()> call);
    // True where all of them returned true by then.
    bool wait(Deadline deadline) noexcept;

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
    std::vector<std::thread> threads_;
};

// One such call.
bool call_punctually(std::function<bool()> call, Deadline deadline) noexcept;

}  // namespace spanloom::sdk
