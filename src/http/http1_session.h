#pragma once

#include <memory>

#include "http/session.h"

namespace spanloom::http {

// HTTP/1.1 and 1.0 (RFC 9112), by Beast's parser. One request at a time; a client that pipelines
// waits its turn in the socket.
std::unique_ptr<Session> make_http1_session(SessionHost& host, std::string peer);

}  // namespace spanloom::http
