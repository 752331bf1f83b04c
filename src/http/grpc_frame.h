#pragma once

#include <string>
#include <string_view>

namespace spanloom::http {

// The message with its length before it (gRPC's PROTOCOL-HTTP2.md), as bodies and streams carry it.
std::string grpc_frame(std::string_view message);

}  // namespace spanloom::http
