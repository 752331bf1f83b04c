#include "send/interrupt.h"

#include <algorithm>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace spanloom::send {
namespace {

constexpr uint64_t kPollNsMax = 1'000'000'000;

}  // namespace

int poll_ms(uint64_t now_ns, uint64_t deadline_ns) {
    const uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    return static_cast<int>((std::min(left_ns, kPollNsMax) + 999'999) / 1'000'000);
}

Interrupt::Interrupt() {
    open();
}

Interrupt::~Interrupt() {
    close();
}

void Interrupt::open() {
    owner_ = ::getpid();
    // Without descriptors left, waits still look at the flag once a second.
    if (::pipe(ends_) != 0) {
        ends_[0] = ends_[1] = -1;
        return;
    }
    for (const int end : ends_) {
        ::fcntl(end, F_SETFD, FD_CLOEXEC);
        ::fcntl(end, F_SETFL, O_NONBLOCK);
    }
}

void Interrupt::close() {
    for (int& end : ends_) {
        if (end >= 0) ::close(end);
        end = -1;
    }
}

void Interrupt::renew() {
    close();
    open();
    if (triggered_) wake();
}

void Interrupt::trigger() {
    if (!triggered_.exchange(true)) wake();
}

void Interrupt::wake() {
    if (owner_ != ::getpid()) return;
    [[maybe_unused]] const ssize_t written = ::write(ends_[1], "", 1);
}

void Interrupt::wait_until(uint64_t deadline_ns, const Clock& clock) const {
    while (!triggered_) {
        const uint64_t now_ns = clock.monotonic_ns();
        if (now_ns >= deadline_ns) return;
        pollfd waited = {descriptor(), POLLIN, 0};
        ::poll(&waited, 1, poll_ms(now_ns, deadline_ns));
    }
}

}  // namespace spanloom::send
