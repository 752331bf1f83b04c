#include "receive/otlp_receiver.h"

#include <array>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp/writer.h"
#include "receive/body.h"
#include "receive/cors.h"
#include "receive/counts.h"
#include "receive/once_per_sender.h"

namespace spanloom {
namespace {

// Above these a body is not inflated and decoded on the io thread, where others wait.
constexpr size_t kInlineBytesMax = 512U << 10;
constexpr size_t kInlineCompressedBytesMax = 64U << 10;
// What simdjson's index and strings take for each byte of text, at most.
constexpr size_t kJsonScratchPerByte = 6;

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

// "application/json; charset=utf-8" and "Application/JSON" are both JSON.
bool is_media_type(std::string_view header, std::string_view type) {
    std::string_view name = header.substr(0, header.find(';'));
    while (name.ends_with(' '))
        name.remove_suffix(1);
    return name.size() == type.size() &&
           std::equal(name.begin(), name.end(), type.begin(), [](char a, char b) {
               return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
           });
}

// One request on its way, until it is answered.
struct Exchange {
    http::Request request;
    std::shared_ptr<http::Responder> responder;
    Protocol protocol = Protocol::kOther;
    http::Encoding encoding = http::Encoding::kIdentity;

    std::string_view content_type() const { return request.headers.get("content-type"); }
};
using ExchangePtr = std::shared_ptr<Exchange>;

http::Response text_response(int status, std::string_view text) {
    http::Response response;
    response.status = status;
    response.headers.add("content-type", "text/plain; charset=utf-8");
    response.body = text;
    return response;
}

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

http::Response success_response(const Exchange& exchange, uint64_t rejected,
                                std::string_view text) {
    if (exchange.protocol == Protocol::kOtlpGrpc)
        return http::grpc_reply(partial_success_message(rejected, text));
    http::Response response;
    if (exchange.protocol == Protocol::kOtlpJson) {
        response.headers.add("content-type", "application/json");
        response.body = partial_success_json(rejected, text);
    } else {
        response.headers.add("content-type", "application/x-protobuf");
        response.body = partial_success_message(rejected, text);
    }
    return response;
}

class OtlpReceiver : public std::enable_shared_from_this<OtlpReceiver> {
  public:
    OtlpReceiver(ReceiveParts parts, ReceiveOptions options)
        : parts_(parts),
          options_(std::move(options)),
          cors_(options_.cors_origins),
          counts_(parts.metrics) {}

    void handle(http::Request request, std::shared_ptr<http::Responder> responder) {
        auto exchange = std::make_shared<Exchange>();
        exchange->request = std::move(request);
        exchange->responder = std::move(responder);
        if (exchange->request.is_grpc()) {
            route_grpc(exchange);
        } else {
            route_http(exchange);
        }
    }

  private:
    // ---- answers
    void send(const ExchangePtr& exchange, http::Response response) {
        cors_.mark(exchange->request.headers.get("origin"), response);
        exchange->responder->send(std::move(response));
    }

    void refuse(const ExchangePtr& exchange, const Refused& refused) {
        counts_.refused(exchange->protocol, refused.reason);
        http::Response response = http::error_reply(refused.reply, exchange->content_type());
        if (refused.reason == RefusalReason::kEncoding)
            response.headers.add(exchange->protocol == Protocol::kOtlpGrpc ? "grpc-accept-encoding"
                                                                           : "accept-encoding",
                                 "identity, gzip, deflate, zstd");
        if (refused.reason == RefusalReason::kMethod)
            response.headers.add("allow", "POST, OPTIONS");
        send(exchange, std::move(response));
    }

    void refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status, int grpc_status,
                std::string text) {
        refuse(exchange, Refused{reason, {http_status, grpc_status, std::move(text), 0}});
    }

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

    // ---- routing
    void route_grpc(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        exchange->protocol = Protocol::kOtlpGrpc;
        if (!request.is_http2)
            return send(exchange, text_response(400,
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
        counts_.request(exchange->protocol, request.body.size());
        open_grpc_frame(exchange);
    }

    void open_grpc_frame(const ExchangePtr& exchange) {
        auto encoding = encoding_of(exchange->request.headers.get("grpc-encoding"));
        if (!encoding) return refuse(exchange, encoding.error());
        Result<http::GrpcMessage> frame = http::parse_grpc_body(exchange->request.body);
        if (!frame) return refuse(exchange, Refused::reading(frame.error()));
        if (frame->compressed && *encoding == http::Encoding::kIdentity)
            return refuse(exchange, RefusalReason::kMalformed, 400, 13,
                          "gRPC message is flagged as compressed, but grpc-encoding names nothing");
        exchange->encoding = frame->compressed ? *encoding : http::Encoding::kIdentity;
        exchange->request.body = std::move(frame->message);
        dispatch(exchange);
    }

    void route_http(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        if (request.method == "OPTIONS") return exchange->responder->send(cors_.preflight(request));
        for (const OtherSignal& signal : kOtherSignals) {
            if (request.path == signal.path) return refuse_signal(exchange, signal);
        }
        if (request.path == "/" && (request.method == "GET" || request.method == "HEAD"))
            return send(exchange, text_response(200, kWelcome));
        if (request.path != kTracesPath)
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("nothing at {}: traces go to POST {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kTracesPath));
        if (request.method != "POST")
            return refuse(exchange, RefusalReason::kMethod, 405, 12,
                          fmt::format("{} takes POST only", kTracesPath));
        if (is_media_type(exchange->content_type(), "application/x-protobuf") ||
            is_media_type(exchange->content_type(), "application/protobuf")) {
            exchange->protocol = Protocol::kOtlpProtobuf;
        } else if (is_media_type(exchange->content_type(), "application/json")) {
            exchange->protocol = Protocol::kOtlpJson;
        } else {
            return refuse(exchange, RefusalReason::kContentType, 415, 12,
                          "traces are taken as application/x-protobuf or application/json; say "
                          "which in content-type");
        }
        counts_.request(exchange->protocol, request.body.size());
        auto encoding = encoding_of(request.headers.get("content-encoding"));
        if (!encoding) return refuse(exchange, encoding.error());
        exchange->encoding = *encoding;
        dispatch(exchange);
    }

    void dispatch(const ExchangePtr& exchange) {
        const size_t inline_max = exchange->encoding == http::Encoding::kIdentity
                                      ? kInlineBytesMax
                                      : kInlineCompressedBytesMax;
        if (exchange->request.body.size() <= inline_max) return take_in(exchange);
        parts_.workers.post([self = shared_from_this(), exchange] { self->take_in(exchange); });
    }

    // ---- the spans themselves
    OrRefused<Batch> read(Exchange& exchange) {
        auto body = open_body(std::exchange(exchange.request.body, {}),
                              std::exchange(exchange.request.memory, nullptr), exchange.encoding,
                              options_.inflated_bytes_max, parts_.budget);
        if (!body) return tl::unexpected(std::move(body.error()));
        if (exchange.protocol == Protocol::kOtlpJson) {
            body = convert_body(std::move(*body), kJsonScratchPerByte, parts_.budget,
                                [this](const Blob& json) {
                                    return otlp::json_to_protobuf(json.view(), options_.decode);
                                });
            if (!body) return tl::unexpected(std::move(body.error()));
        }
        return decode_body(std::move(*body), options_.decode, parts_.budget);
    }

    void take_in(const ExchangePtr& exchange) {
        OrRefused<Batch> batch = read(*exchange);
        if (!batch) return refuse(exchange, batch.error());
        OrRefused<std::string> tenant =
            tenant_of(exchange->request.headers, options_.tenant_header);
        if (!tenant) return refuse(exchange, tenant.error());
        batch->tenant = std::move(*tenant);
        batch->arrival_ns = parts_.clock.wall_ns();
        counts_.spans(exchange->protocol, batch->spans.size(), batch->spans_rejected);
        const uint64_t rejected = batch->spans_rejected;
        if (batch->spans.empty())
            return send(exchange, success_response(*exchange, rejected, batch->rejection));
        auto done = [self = shared_from_this(), exchange, spans = batch->spans.size(), rejected,
                     text = batch->rejection](Result<void> result) {
            if (!result) return self->refuse(exchange, Refused::storing(result.error()));
            self->counts_.accepted(exchange->protocol, spans);
            self->send(exchange, success_response(*exchange, rejected, text));
        };
        parts_.sink.accept(std::move(*batch), std::move(done));
    }

    const ReceiveParts parts_;
    const ReceiveOptions options_;
    const CorsPolicy cors_;
    ReceiveCounts counts_;
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
