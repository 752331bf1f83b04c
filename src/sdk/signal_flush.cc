#include "sdk/signal_flush.h"

#include <atomic>
#include <csignal>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "sdk/background_thread.h"
#include "sdk/provider_core.h"

namespace spanloom::sdk {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT};

std::atomic<detail::ProviderCore*> flushed_provider = nullptr;
std::atomic<uint64_t> timeout_ns = 0;
// The pipe that wakes the thread; all that a handler may do is to write. -1: not there.
std::atomic<int> wake_descriptor = -1;
std::atomic<int> read_descriptor = -1;
std::atomic<pid_t> armed_process = 0;

extern "C" void wake_on_signal(int number) {
    if (armed_process.load() != ::getpid()) {
        // A child so young that it still has the parent's handler: as if there were none.
        std::signal(number, SIG_DFL);
        std::raise(number);
        return;
    }
    const auto byte = static_cast<unsigned char>(number);
    // A full pipe has woken the thread already.
    [[maybe_unused]] const ssize_t written = ::write(wake_descriptor.load(), &byte, 1);
}

void take_signal(int number) noexcept {
    struct sigaction current{};
    if (::sigaction(number, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) return;
    struct sigaction action{};
    action.sa_handler = wake_on_signal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
}

void wait_and_flush(int descriptor) {
    unsigned char number = 0;
    while (::read(descriptor, &number, 1) != 1) {
    }
    flushed_provider.load()->shutdown(Duration::from_ns(timeout_ns.load()));
    std::signal(number, SIG_DFL);
    ::kill(::getpid(), number);
}

void arm(void*) noexcept {
    int ends[2];
    if (wake_descriptor.load() != -1 || ::pipe2(ends, O_CLOEXEC) != 0) return;
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    try {
        start_background_thread([from = ends[0]] { wait_and_flush(from); }).detach();
    } catch (const std::system_error&) {  // no thread to be had: signals stay what they are
        ::close(ends[0]);
        ::close(ends[1]);
        return;
    }
    read_descriptor = ends[0];
    wake_descriptor = ends[1];
    armed_process = ::getpid();
    for (const int number : kSignals)
        take_signal(number);
}

}  // namespace

void flush_on_signals(const TracerProvider& provider, Duration timeout) {
    detail::ProviderCore* core = detail::ProviderAccess::core(provider);
    if (core == nullptr) return;
    flushed_provider = core;
    timeout_ns = timeout.ns;
    core->watch.at_first_span(&arm, nullptr);
}

void leave_signals_to_parent() noexcept {
    detail::ProviderCore* core = flushed_provider.load();
    if (core == nullptr) return;
    if (wake_descriptor.load() != -1) {
        for (const int number : kSignals) {
            struct sigaction current{};
            if (::sigaction(number, nullptr, &current) == 0 && current.sa_handler == wake_on_signal)
                std::signal(number, SIG_DFL);
        }
        ::close(read_descriptor.exchange(-1));
        ::close(wake_descriptor.exchange(-1));
    }
    core->watch.at_first_span(&arm, nullptr);
}

}  // namespace spanloom::sdk
