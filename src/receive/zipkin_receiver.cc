#include "receive/zipkin_receiver.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "receive/intake.h"
#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

constexpr std::string_view kSpansPath = "/api/v2/spans";
constexpr std::string_view kOldSpansPath = "/api/v1/spans";
constexpr std::string_view kReportMethod = "/zipkin.proto3.SpanService/Report";

bool looks_like_json(std::string_view body) {
    // Not "\n": it is also the first byte of a list in protobuf.
    const size_t first = body.find_first_not_of(" \t\r");
    return first != std::string_view::npos && body[first] == '[';
}

http::Response accepted(uint64_t, std::string_view) {
    http::Response response;
    response.status = 202;
    return response;
}

http::Response grpc_accepted(uint64_t, std::string_view) {
    return http::grpc_reply({});
}

Result<Blob> from_json(const Blob& sent, const otlp::DecodeLimits&, uint64_t arrival_ns) {
    return zipkin_json_to_otlp(sent.view(), arrival_ns);
}

Result<Blob> from_protobuf(const Blob& sent, const otlp::DecodeLimits&, uint64_t arrival_ns) {
    return zipkin_protobuf_to_otlp(sent, arrival_ns);
}

constexpr size_t kInlineBytesMax = 128U << 10;
// The JSON index, strings, and the OTLP form, at most.
constexpr size_t kScratchPerByte = 12;
// Zipkin's senders expect plain text.
constexpr std::string_view kText = "text/plain";

constexpr IntakeForm kUnknown = {.error_type = kText};
constexpr IntakeForm kGrpc = {.protocol = Protocol::kZipkinGrpc,
                              .inline_bytes_max = kInlineBytesMax,
                              .inline_compressed_bytes_max = kInlineBytesMax,
                              .convert = from_protobuf,
                              .scratch_per_byte = kScratchPerByte,
                              .success = grpc_accepted};
constexpr IntakeForm kProtobuf = {.protocol = Protocol::kZipkinProtobuf,
                                  .error_type = kText,
                                  .inline_bytes_max = kInlineBytesMax,
                                  .inline_compressed_bytes_max = kInlineBytesMax,
                                  .convert = from_protobuf,
                                  .scratch_per_byte = kScratchPerByte,
                                  .success = accepted};
constexpr IntakeForm kJson = {.protocol = Protocol::kZipkinJson,
                              .error_type = kText,
                              .inline_bytes_max = kInlineBytesMax,
                              .inline_compressed_bytes_max = kInlineBytesMax,
                              .convert = from_json,
                              .scratch_per_byte = kScratchPerByte,
                              .success = accepted};

const IntakeForm* recognise(const Blob& body) {
    return body.empty() || looks_like_json(body.view()) ? &kJson : &kProtobuf;
}
constexpr IntakeForm kUntyped = {.protocol = Protocol::kZipkinJson,
                                 .error_type = kText,
                                 .inline_bytes_max = kInlineBytesMax,
                                 .inline_compressed_bytes_max = kInlineBytesMax,
                                 .recognise = recognise};

// Knows the addresses and content types; what comes after is the intake's.
class ZipkinReceiver {
  public:
    ZipkinReceiver(ReceiveParts parts, ReceiveOptions options)
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
    void refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status, int grpc_status,
                std::string text) {
        intake_->refuse(exchange, reason, http_status, grpc_status, std::move(text));
    }

    void route_grpc(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (!request.is_http2)
            return intake_->send(exchange, text_response(400, "gRPC needs HTTP/2\n"));
        if (request.path != kReportMethod || request.method != "POST")
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("unknown method {}: spans go to {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kReportMethod));
        intake_->take_grpc(exchange, kGrpc);
    }

    void route_http(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (request.method == "OPTIONS")
            return exchange->responder->send(intake_->preflight(request));
        if (request.path == "/" && (request.method == "GET" || request.method == "HEAD"))
            return intake_->send(exchange,
                                 text_response(200,
                                               "This port takes Zipkin spans: POST them to "
                                               "/api/v2/spans.\n"));
        if (request.path == kOldSpansPath)
            return refuse(exchange, RefusalReason::kPath, 404, 12,
                          "Zipkin's v1 format is not supported: let the sender use v2 "
                          "(POST /api/v2/spans)");
        if (request.path != kSpansPath)
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("nothing at {}: spans go to POST {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kSpansPath));
        if (request.method != "POST")
            return refuse(exchange, RefusalReason::kMethod, 405, 12,
                          fmt::format("{} takes POST only", kSpansPath));
        const std::string_view type = request.headers.get("content-type");
        if (type.starts_with("application/x-thrift"))
            return refuse(exchange, RefusalReason::kContentType, 415, 12,
                          "Thrift is not supported: send JSON or application/x-protobuf");
        if (type.starts_with("application/x-protobuf"))
            return intake_->take_http(exchange, kProtobuf);
        intake_->take_http(exchange, request.headers.has("content-type") ? kJson : kUntyped);
    }

    const std::shared_ptr<Intake> intake_;
};

}  // namespace

bool is_zipkin_send(const http::Request& request) {
    if (request.is_grpc()) return request.path == kReportMethod;
    return request.path == kOldSpansPath ||
           (request.path == kSpansPath &&
            (request.method == "POST" || request.method == "OPTIONS"));
}

http::Handler make_zipkin_handler(ReceiveParts parts, ReceiveOptions options) {
    auto receiver = std::make_shared<ZipkinReceiver>(parts, std::move(options));
    return [receiver](http::Request request, std::shared_ptr<http::Responder> responder) {
        receiver->handle(std::move(request), std::move(responder));
    };
}

}  // namespace spanloom
