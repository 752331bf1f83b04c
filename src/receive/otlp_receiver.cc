#include "receive/otlp_receiver.h"

#include <array>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/writer.h"
#include "receive/intake.h"
#include "receive/once_per_sender.h"

namespace spanloom {
namespace {

constexpr std::string_view kTracesPath = "/v1/traces";
constexpr std::string_view kTracesMethod =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct OtherSignal {
    std::string_view name;
    std::string_view path;
    std::string_view method;
};
constexpr std::array<OtherSignal, 3> kOtherSignals = {{
    {"logs", "/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"},
    {"metrics", "/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"},
    {"profiles", "/v1development/profiles",
     "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"},
}};

constexpr std::string_view kWelcome =
    "This port of spanloom receives OpenTelemetry traces: OTLP/gRPC, and OTLP/HTTP by POST "
    "/v1/traces.\nThere is nothing to look at here; the web UI has a port of its own (16686 unless "
    "configured).\n";

std::string partial_success_message(uint64_t rejected, std::string_view text) {
    std::string message;
    if (rejected == 0) return message;
    otlp::WireWriter out(message);
    const size_t mark = out.begin(1);
    out.varint_field(1, rejected);
    out.bytes_field(2, text);
    out.end(mark);
    return message;
}

std::string partial_success_json(uint64_t rejected, std::string_view text) {
    std::string json;
    JsonWriter out(json);
    out.begin_object();
    if (rejected > 0) {
        out.key("partialSuccess").begin_object().key("rejectedSpans").quoted(rejected);
        out.field("errorMessage", text).end_object();
    }
    out.end_object();
    return json;
}

http::Response grpc_success(uint64_t rejected, std::string_view why) {
    return http::grpc_reply(partial_success_message(rejected, why));
}

http::Response json_success(uint64_t rejected, std::string_view why) {
    http::Response response;
    response.headers.add("content-type", "application/json");
    response.body = partial_success_json(rejected, why);
    return response;
}

http::Response protobuf_success(uint64_t rejected, std::string_view why) {
    http::Response response;
    response.headers.add("content-type", "application/x-protobuf");
    response.body = partial_success_message(rejected, why);
    return response;
}

Result<Blob> from_json(const Blob& sent, const otlp::DecodeLimits& limits, uint64_t) {
    return otlp::json_to_protobuf(sent.view(), limits);
}

constexpr size_t kInlineBytesMax = 512U << 10;
constexpr size_t kInlineCompressedBytesMax = 64U << 10;

constexpr IntakeForm kUnknown = {};
constexpr IntakeForm kGrpc = {.protocol = Protocol::kOtlpGrpc,
                              .inline_bytes_max = kInlineBytesMax,
                              .inline_compressed_bytes_max = kInlineCompressedBytesMax,
                              .success = grpc_success};
constexpr IntakeForm kProtobuf = {.protocol = Protocol::kOtlpProtobuf,
                                  .inline_bytes_max = kInlineBytesMax,
                                  .inline_compressed_bytes_max = kInlineCompressedBytesMax,
                                  .success = protobuf_success};
constexpr IntakeForm kJson = {.protocol = Protocol::kOtlpJson,
                              .inline_bytes_max = kInlineBytesMax,
                              .inline_compressed_bytes_max = kInlineCompressedBytesMax,
                              .convert = from_json,
                              // simdjson's index and strings, at most
                              .scratch_per_byte = 6,
                              .success = json_success};

// Knows the addresses and content types; what comes after is the intake's.
class OtlpReceiver {
  public:
    OtlpReceiver(ReceiveParts parts, ReceiveOptions options)
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
    void refuse_signal(const ExchangePtr& exchange, const OtherSignal& signal) {
        if (others_.is_first(exchange->request.peer, signal.name))
            log::warning(
                "{} sends {} over OTLP: spanloom stores traces only, so turn that exporter off or "
                "send it elsewhere",
                exchange->request.peer, signal.name);
        refuse(exchange, RefusalReason::kSignal, 404, 12,
               fmt::format("spanloom stores traces only: turn the exporter of {} off or send it "
                           "elsewhere",
                           signal.name));
    }

    void route_grpc(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (!request.is_http2)
            return intake_->send(exchange,
                                 text_response(400,
                                               "gRPC needs HTTP/2; over HTTP/1.1 send OTLP "
                                               "as application/x-protobuf\n"));
        for (const OtherSignal& signal : kOtherSignals) {
            if (request.path == signal.method) return refuse_signal(exchange, signal);
        }
        if (request.path != kTracesMethod)
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("unknown method {}: traces go to {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kTracesMethod));
        if (request.method != "POST")
            return refuse(exchange, RefusalReason::kMethod, 405, 12, "gRPC calls are sent by POST");
        if (!is_media_type(exchange->content_type(), "application/grpc") &&
            !is_media_type(exchange->content_type(), "application/grpc+proto"))
            return refuse(exchange, RefusalReason::kContentType, 415, 12,
                          "gRPC messages of this content type are not supported: send "
                          "application/grpc or application/grpc+proto");
        intake_->take_grpc(exchange, kGrpc);
    }

    void route_http(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (request.method == "OPTIONS")
            return exchange->responder->send(intake_->preflight(request));
        for (const OtherSignal& signal : kOtherSignals) {
            if (request.path == signal.path) return refuse_signal(exchange, signal);
        }
        if (request.path == "/" && (request.method == "GET" || request.method == "HEAD"))
            return intake_->send(exchange, text_response(200, kWelcome));
        if (request.path != kTracesPath)
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("nothing at {}: traces go to POST {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kTracesPath));
        if (request.method != "POST")
            return refuse(exchange, RefusalReason::kMethod, 405, 12,
                          fmt::format("{} takes POST only", kTracesPath));
        if (is_media_type(exchange->content_type(), "application/x-protobuf") ||
            is_media_type(exchange->content_type(), "application/protobuf"))
            return intake_->take_http(exchange, kProtobuf);
        if (is_media_type(exchange->content_type(), "application/json"))
            return intake_->take_http(exchange, kJson);
        refuse(exchange, RefusalReason::kContentType, 415, 12,
               "traces are taken as application/x-protobuf or application/json; say which in "
               "content-type");
    }

    void refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status, int grpc_status,
                std::string text) {
        intake_->refuse(exchange, reason, http_status, grpc_status, std::move(text));
    }

    const std::shared_ptr<Intake> intake_;
    OncePerSender others_;
};

}  // namespace

http::Handler make_otlp_handler(ReceiveParts parts, ReceiveOptions options) {
    auto receiver = std::make_shared<OtlpReceiver>(parts, std::move(options));
    return [receiver](http::Request request, std::shared_ptr<http::Responder> responder) {
        receiver->handle(std::move(request), std::move(responder));
    };
}

}  // namespace spanloom
