#include "send/connection.h"

#include <algorithm>
#include <system_error>

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "send/socket_calls.h"

namespace spanloom::send {
namespace {

#ifdef SOCK_CLOEXEC
constexpr int kSocketType = SOCK_STREAM | SOCK_CLOEXEC;  // a program started meanwhile gets no copy
#else
constexpr int kSocketType = SOCK_STREAM;
#endif
// Entries handed to the kernel at once; it takes at least 1,024.
constexpr size_t kPartsMax = 256;

std::string error_text(int code) {
    return std::error_code(code, std::generic_category()).message();
}

void prepare(int descriptor) {
    const int one = 1;
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef SO_NOSIGPIPE
    setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
}

}  // namespace

Connection::~Connection() {
    tls_.reset();
    ::close(descriptor_);
}

void Connection::abandon() {
    if (tls_ != nullptr) tls_->abandon();
}

Result<void> Connection::finish_connect(uint64_t deadline_ns) {
    TRY(wait(Wait::kWrite, deadline_ns));
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code == 0) return {};
    return fail(ErrorCode::kUnavailable, "cannot connect to {}: {}", name_, error_text(code));
}

Result<void> Connection::handshake(std::unique_ptr<TlsStream> tls, uint64_t deadline_ns) {
    for (;;) {
        TRY_ASSIGN(const TlsStream::Step step, tls->handshake());
        if (step == TlsStream::Step::kDone) break;
        TRY(wait(step == TlsStream::Step::kWantRead ? Wait::kRead : Wait::kWrite, deadline_ns));
    }
    tls_ = std::move(tls);
    return {};
}

Result<void> Connection::wait(Wait wait, uint64_t deadline_ns) {
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

Result<size_t> Connection::read_some(char* to, size_t size) {
    if (tls_ != nullptr) return tls_->read_some(to, size);
    const ssize_t n = ::recv(descriptor_, to, size, 0);
    if (n > 0) return static_cast<size_t>(n);
    if (n == 0) return fail(ErrorCode::kUnavailable, "{} closed the connection", name_);
    if (is_transient(errno)) return size_t{0};
    return fail(ErrorCode::kUnavailable, "connection to {} broke: {}", name_, error_text(errno));
}

Result<size_t> Connection::read(char* to, size_t size, uint64_t deadline_ns) {
    for (;;) {
        TRY_ASSIGN(const size_t n, read_some(to, size));
        if (n > 0) return n;
        TRY(wait(Wait::kRead, deadline_ns));
    }
}

Result<size_t> Connection::write_some(const iovec* parts, size_t count) {
    if (tls_ != nullptr) return tls_->write_some(parts, count);
    msghdr message = {};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
    const ssize_t n = ::sendmsg(descriptor_, &message, kSendFlags);
    if (n >= 0) return static_cast<size_t>(n);
    if (is_transient(errno)) return size_t{0};
    return fail(ErrorCode::kUnavailable, "connection to {} broke: {}", name_, error_text(errno));
}

Result<void> Connection::write_all(const Pieces& pieces, uint64_t deadline_ns) {
    PiecesCursor cursor(pieces);
    iovec parts[kPartsMax];
    while (cursor.left() > 0) {
        TRY_ASSIGN(const size_t n, write_some(parts, cursor.gather(parts, kPartsMax)));
        cursor.skip(n);
        if (n == 0) TRY(wait(Wait::kWrite, deadline_ns));
    }
    return {};
}

Result<std::unique_ptr<Connection>> Connector::connect(Alpn alpn, uint64_t deadline_ns) {
    TRY_ASSIGN(const std::vector<Address> addresses,
               resolver_.resolve(endpoint_, deadline_ns, clock_, interrupt_));
    Error last{ErrorCode::kUnavailable, fmt::format("{} has no address", endpoint_.host)};
    for (size_t i = 0; i < addresses.size(); ++i) {
        // An address that does not answer leaves time for the others.
        const uint64_t now_ns = clock_.monotonic_ns();
        const uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        Result<std::unique_ptr<Connection>> made =
            connect_to(addresses[i], now_ns + left_ns / (addresses.size() - i));
        if (!made) {
            last = made.error();
            if (last.code == ErrorCode::kCancelled) break;
            continue;
        }
        if (tls_ == nullptr) return made;
        TRY_ASSIGN(std::unique_ptr<TlsStream> stream,
                   tls_->open((*made)->descriptor_, endpoint_, alpn));
        TRY((*made)->handshake(std::move(stream), deadline_ns));
        return made;
    }
    return tl::unexpected(std::move(last));
}

Result<std::unique_ptr<Connection>> Connector::connect_to(const Address& address,
                                                          uint64_t deadline_ns) {
    const int descriptor = ::socket(address.family, kSocketType, 0);
    if (descriptor < 0) {
        return fail(ErrorCode::kUnavailable, "cannot open a socket: {}", error_text(errno));
    }
    std::unique_ptr<Connection> connection(
        new Connection(descriptor, endpoint_.authority(), clock_, interrupt_));
    prepare(descriptor);
    const auto* to = reinterpret_cast<const sockaddr*>(address.bytes.data());
    if (::connect(descriptor, to, static_cast<socklen_t>(address.bytes.size())) == 0) {
        return connection;
    }
    if (errno != EINPROGRESS) {
        return fail(ErrorCode::kUnavailable, "cannot connect to {}: {}", endpoint_.authority(),
                    error_text(errno));
    }
    TRY(connection->finish_connect(deadline_ns));
    return connection;
}

}  // namespace spanloom::send
