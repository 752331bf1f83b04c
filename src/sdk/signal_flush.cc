#include "sdk/signal_flush.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

namespace spanloom::sdk {
namespace {

// The writing end of the pipe that wakes the thread; all that a handler may do is to write.
std::atomic<int> wake_descriptor = -1;

extern "C" void wake_on_signal(int number) {
    const auto byte = static_cast<unsigned char>(number);
    // A full pipe has woken the thread already.
    [[maybe_unused]] const ssize_t written = ::write(wake_descriptor.load(), &byte, 1);
}

void take_signal(int number) {
    struct sigaction current{};
    if (::sigaction(number, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) return;
    struct sigaction action{};
    action.sa_handler = wake_on_signal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
}

void wait_and_flush(int descriptor, TracerProvider provider, Duration timeout) {
    unsigned char number = 0;
    while (::read(descriptor, &number, 1) != 1) {
    }
    provider.shutdown(timeout);
    std::signal(number, SIG_DFL);
    ::kill(::getpid(), number);
}

}  // namespace

void flush_on_signals(TracerProvider provider, Duration timeout) {
    int ends[2];
    if (wake_descriptor.load() != -1 || ::pipe2(ends, O_CLOEXEC) != 0) return;
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    wake_descriptor = ends[1];
    std::thread(wait_and_flush, ends[0], provider, timeout).detach();
    take_signal(SIGTERM);
    take_signal(SIGINT);
}

}  // namespace spanloom::sdk
