#include "api/grpc_stream.h"

#include <utility>

#include "http/compression.h"
#include "http/grpc_frame.h"

namespace spanloom::api {

bool GrpcStream::send(std::string_view message) {
    std::string frame = http::grpc_frame(message);
    if (std::exchange(has_begun_, true)) return responder_->write(std::move(frame));
    http::Response head;
    head.headers.add("content-type", "application/grpc");
    head.body = std::move(frame);
    responder_->begin(std::move(head));
    return true;
}

void GrpcStream::finish(const Result<void>& outcome) {
    http::Response status =
        outcome ? http::grpc_error(0, {})
                : http::grpc_error(grpc_status(outcome.error().code), outcome.error().message);
    if (!has_begun_) return responder_->send(std::move(status));
    http::Headers trailers;
    for (const auto& [name, value] : status.headers) {
        if (name.starts_with("grpc-")) trailers.add(name, value);
    }
    responder_->finish(std::move(trailers));
}

tl::unexpected<Error> malformed_message() {
    return fail(ErrorCode::kInvalidArgument, "the request is not the message this call takes");
}

Result<Blob> grpc_request_message(const http::Request& request, size_t bytes_max) {
    TRY_ASSIGN(const http::GrpcMessage frame, http::parse_grpc_body(request.body));
    if (frame.message.size() > bytes_max)
        return fail(ErrorCode::kResourceExhausted, "a message of {} bytes is larger than {}",
                    frame.message.size(), bytes_max);
    if (!frame.compressed) return frame.message;
    TRY_ASSIGN(const http::Encoding encoding,
               http::parse_encoding(request.headers.get("grpc-encoding")));
    return http::inflate(encoding, frame.message, bytes_max);
}

}  // namespace spanloom::api
