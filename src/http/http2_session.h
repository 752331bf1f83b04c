#pragma once

#include <map>
#include <memory>

#include "http/session.h"

namespace spanloom::http {

// HTTP/2 from the client's preface on (RFC 9113), by nghttp2.
std::unique_ptr<Session> make_http2_session(SessionHost& host, std::string peer);

}  // namespace spanloom::http
