#include "send/socket.h"

#include <algorithm>
#include <cstring>

#include <errno.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace spanloom::send {
namespace {

// poll() sleeps at most this long before the injected clock is asked again.
constexpr uint64_t kPollMsMax = 1'000;

int poll_ms(uint64_t now_ns, uint64_t deadline_ns) {
    const uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    return static_cast<int>(std::min((left_ns + 999'999) / 1'000'000, kPollMsMax));
}

std::string error_text(int code) {
    char text[128] = {};
    return strerror_r(code, text, sizeof text);
}

struct FreeAddresses {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

}  // namespace

Interrupt::Interrupt() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void Interrupt::trigger() {
    triggered_ = true;
    const uint64_t one = 1;
    // A full counter wakes as well, so a failed write loses nothing.
    [[maybe_unused]] const ssize_t written = ::write(descriptor_, &one, sizeof one);
}

void Interrupt::wait_until(uint64_t deadline_ns, const Clock& clock) const {
    while (!triggered_) {
        const uint64_t now_ns = clock.monotonic_ns();
        if (now_ns >= deadline_ns) return;
        pollfd waited = {descriptor_, POLLIN, 0};
        ::poll(&waited, 1, poll_ms(now_ns, deadline_ns));
    }
}

Result<std::unique_ptr<Socket>> Socket::connect(const Endpoint& endpoint, uint64_t deadline_ns,
                                                const Clock& clock, const Interrupt& interrupt) {
    addrinfo hints = {};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(endpoint.port);
    const int failed = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
    if (failed != 0) {
        return fail(ErrorCode::kUnavailable, "cannot resolve {}: {}", endpoint.host,
                    gai_strerror(failed));
    }
    const std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
    Error last{ErrorCode::kUnavailable, fmt::format("{} has no address", endpoint.host)};
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        const int descriptor =
            ::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (descriptor < 0) {
            last.message = fmt::format("cannot open a socket: {}", error_text(errno));
            continue;
        }
        std::unique_ptr<Socket> socket(
            new Socket(descriptor, endpoint.authority(), clock, interrupt));
        const int one = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (::connect(descriptor, at->ai_addr, at->ai_addrlen) == 0) return socket;
        if (errno != EINPROGRESS) {
            last.message =
                fmt::format("cannot connect to {}: {}", endpoint.authority(), error_text(errno));
            continue;
        }
        const Result<void> connected = socket->finish_connect(deadline_ns);
        if (connected) return socket;
        last = connected.error();
    }
    return tl::unexpected(last);
}

Result<void> Socket::finish_connect(uint64_t deadline_ns) {
    TRY(wait(Wait::kWrite, deadline_ns));
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code == 0) return {};
    return fail(ErrorCode::kUnavailable, "cannot connect to {}: {}", name_, error_text(code));
}

Socket::~Socket() {
    ::close(descriptor_);
}

Result<void> Socket::wait(Wait wait, uint64_t deadline_ns) {
    short events = POLLIN;
    if (wait == Wait::kWrite) events = POLLOUT;
    if (wait == Wait::kReadOrWrite) events = POLLIN | POLLOUT;
    for (;;) {
        if (interrupt_.is_triggered()) {
            return fail(ErrorCode::kCancelled, "sending to {} was interrupted", name_);
        }
        const uint64_t now_ns = clock_.monotonic_ns();
        if (now_ns >= deadline_ns) {
            return fail(ErrorCode::kDeadlineExceeded, "{} did not answer in time", name_);
        }
        pollfd waited[2] = {{descriptor_, events, 0}, {interrupt_.descriptor(), POLLIN, 0}};
        const int ready = ::poll(waited, 2, poll_ms(now_ns, deadline_ns));
        if (ready < 0 && errno != EINTR) {
            return fail(ErrorCode::kInternal, "cannot wait for {}: {}", name_, error_text(errno));
        }
        if (ready > 0 && waited[0].revents != 0) return {};
    }
}

Result<size_t> Socket::read_some(char* to, size_t size) {
    const ssize_t n = ::recv(descriptor_, to, size, 0);
    if (n > 0) return static_cast<size_t>(n);
    if (n == 0) return fail(ErrorCode::kUnavailable, "{} closed the connection", name_);
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
    return fail(ErrorCode::kUnavailable, "connection to {} broke: {}", name_, error_text(errno));
}

Result<size_t> Socket::read(char* to, size_t size, uint64_t deadline_ns) {
    for (;;) {
        const ssize_t n = ::recv(descriptor_, to, size, 0);
        if (n >= 0) return static_cast<size_t>(n);
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            return fail(ErrorCode::kUnavailable, "connection to {} broke: {}", name_,
                        error_text(errno));
        }
        TRY(wait(Wait::kRead, deadline_ns));
    }
}

Result<size_t> Socket::write_some(std::string_view bytes) {
    const ssize_t n = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
    return fail(ErrorCode::kUnavailable, "connection to {} broke: {}", name_, error_text(errno));
}

Result<void> Socket::write_all(std::string_view bytes, uint64_t deadline_ns) {
    while (!bytes.empty()) {
        TRY_ASSIGN(const size_t n, write_some(bytes));
        bytes.remove_prefix(n);
        if (!bytes.empty()) TRY(wait(Wait::kWrite, deadline_ns));
    }
    return {};
}

}  // namespace spanloom::send
