#include "receive/jaeger_receiver.h"

#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "receive/intake.h"
#include "receive/jaeger_convert.h"

namespace spanloom {
namespace {

constexpr std::string_view kTracesPath = "/api/traces";
constexpr std::string_view kPostSpans = "/jaeger.api_v2.CollectorService/PostSpans";
// The senders' libraries show the text.
constexpr std::string_view kText = "text/plain";

http::Response accepted(uint64_t, std::string_view) {
    http::Response response;
    response.status = 202;
    return response;
}

http::Response grpc_accepted(uint64_t, std::string_view) {
    return http::grpc_reply({});
}

Result<Blob> from_thrift(const Blob& sent, const otlp::DecodeLimits&, uint64_t) {
    return jaeger_thrift_to_otlp(sent);
}

Result<Blob> from_protobuf(const Blob& sent, const otlp::DecodeLimits&, uint64_t) {
    return jaeger_protobuf_to_otlp(sent);
}

constexpr size_t kInlineBytesMax = 128U << 10;
// A tag takes a few bytes on the wire and 64 here while its span is read; then the OTLP form.
constexpr size_t kScratchPerByte = 16;

constexpr IntakeForm kUnknown = {.error_type = kText};
constexpr IntakeForm kThrift = {.protocol = Protocol::kJaegerThrift,
                                .error_type = kText,
                                .inline_bytes_max = kInlineBytesMax,
                                .inline_compressed_bytes_max = kInlineBytesMax,
                                .convert = from_thrift,
                                .scratch_per_byte = kScratchPerByte,
                                .success = accepted};
constexpr IntakeForm kGrpc = {.protocol = Protocol::kJaegerGrpc,
                              .inline_bytes_max = kInlineBytesMax,
                              .inline_compressed_bytes_max = kInlineBytesMax,
                              .convert = from_protobuf,
                              .scratch_per_byte = kScratchPerByte,
                              .success = grpc_accepted};

// Knows the addresses and content types; what comes after is the intake's.
class JaegerReceiver {
  public:
    JaegerReceiver(ReceiveParts parts, ReceiveOptions options)
        : intake_(std::make_shared<Intake>(parts, std::move(options))) {}

    void handle(http::Request request, std::shared_ptr<http::Responder> responder) {
        const bool is_grpc = request.is_grpc();
        const ExchangePtr exchange =
            Intake::exchange(std::move(request), std::move(responder), is_grpc ? kGrpc : kUnknown);
        if (is_grpc) {
            route_grpc(exchange);
        } else {
            route_http(exchange);
        }
    }

  private:
    void route_grpc(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (!request.is_http2)
            return intake_->send(exchange, text_response(400, "gRPC needs HTTP/2\n"));
        if (request.path != kPostSpans || request.method != "POST")
            return intake_->refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("unknown method {}: spans go to {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kPostSpans));
        intake_->take_grpc(exchange, kGrpc);
    }

    void route_http(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (request.path == "/" && (request.method == "GET" || request.method == "HEAD"))
            return intake_->send(exchange, text_response(200,
                                                         "This port takes Jaeger's spans: POST "
                                                         "Thrift batches to /api/traces.\n"));
        if (request.path != kTracesPath)
            return intake_->refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("nothing at {}: spans go to POST {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kTracesPath));
        if (request.method != "POST")
            return intake_->refuse(exchange, RefusalReason::kMethod, 405, 12,
                                   fmt::format("{} takes POST only", kTracesPath));
        const std::string_view type = exchange->content_type();
        if (!is_media_type(type, "application/x-thrift") &&
            !is_media_type(type, "application/vnd.apache.thrift.binary"))
            return intake_->refuse(exchange, RefusalReason::kContentType, 415, 12,
                                   "spans are taken as application/x-thrift or "
                                   "application/vnd.apache.thrift.binary; say which in "
                                   "content-type");
        intake_->take_http(exchange, kThrift);
    }

    const std::shared_ptr<Intake> intake_;
};

}  // namespace

bool is_jaeger_send(const http::Request& request) {
    if (request.is_grpc()) return request.path == kPostSpans;
    return request.path == kTracesPath && request.method == "POST";
}

http::Handler make_jaeger_handler(ReceiveParts parts, ReceiveOptions options) {
    auto receiver = std::make_shared<JaegerReceiver>(parts, std::move(options));
    return [receiver](http::Request request, std::shared_ptr<http::Responder> responder) {
        receiver->handle(std::move(request), std::move(responder));
    };
}

}  // namespace spanloom
