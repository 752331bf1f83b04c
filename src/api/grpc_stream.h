#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace spanloom::api {

// The answer to a gRPC call: any number of messages, then a status. Nothing goes out before the
// first message, so that a call which fails at once is answered by its status alone. One query
// thread; waits where the client reads more slowly than we write.
class GrpcStream {
  public:
    explicit GrpcStream(std::shared_ptr<http::Responder> responder)
        : responder_(std::move(responder)) {}
    GrpcStream(const GrpcStream&) = delete;
    GrpcStream& operator=(const GrpcStream&) = delete;

    // False: the client has gone, stop.
    bool send(std::string_view message);
    void finish(const Result<void>& outcome);

  private:
    std::shared_ptr<http::Responder> responder_;
    bool has_begun_ = false;
};

// What is said of a message that cannot be read.
tl::unexpected<Error> malformed_message();

// The message of a unary or server-streaming call's request.
Result<Blob> grpc_request_message(const http::Request& request, size_t bytes_max);

}  // namespace spanloom::api
