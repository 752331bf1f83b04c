#pragma once

#include <errno.h>
#include <sys/socket.h>

namespace spanloom::send {

// A peer that has gone must not end the program by SIGPIPE.
#ifdef MSG_NOSIGNAL
constexpr int kSendFlags = MSG_NOSIGNAL;
#else
constexpr int kSendFlags = 0;  // SO_NOSIGPIPE is set on the socket
#endif

// The call may be made again.
inline bool is_transient(int code) {
    return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

}  // namespace spanloom::send
