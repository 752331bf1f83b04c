#include "receive/zipkin_receiver.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "receive/body.h"
#include "receive/cors.h"
#include "receive/counts.h"
#include "receive/zipkin_convert.h"

namespace spanloom {
namespace {

// Above this a body is not inflated and converted on the io thread, where others wait.
constexpr size_t kInlineBytesMax = 128U << 10;
// What converting takes for each byte sent, at most: the JSON index, strings, and the OTLP form.
constexpr size_t kScratchPerByte = 12;

constexpr std::string_view kSpansPath = "/api/v2/spans";
constexpr std::string_view kOldSpansPath = "/api/v1/spans";
constexpr std::string_view kReportMethod = "/zipkin.proto3.SpanService/Report";

struct Exchange {
    http::Request request;
    std::shared_ptr<http::Responder> responder;
    Protocol protocol = Protocol::kOther;
    http::Encoding encoding = http::Encoding::kIdentity;
};
using ExchangePtr = std::shared_ptr<Exchange>;

bool looks_like_json(std::string_view body) {
    // Not "\n": it is also the first byte of a list in protobuf.
    const size_t first = body.find_first_not_of(" \t\r");
    return first != std::string_view::npos && body[first] == '[';
}

http::Response text_response(int status, std::string_view text) {
    http::Response response;
    response.status = status;
    response.headers.add("content-type", "text/plain; charset=utf-8");
    response.body = text;
    return response;
}

class ZipkinReceiver : public std::enable_shared_from_this<ZipkinReceiver> {
  public:
    ZipkinReceiver(ReceiveParts parts, ReceiveOptions options)
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
    void send(const ExchangePtr& exchange, http::Response response) {
        cors_.mark(exchange->request.headers.get("origin"), response);
        exchange->responder->send(std::move(response));
    }

    // Zipkin's senders expect plain text.
    void refuse(const ExchangePtr& exchange, const Refused& refused) {
        counts_.refused(exchange->protocol, refused.reason);
        const std::string_view form = exchange->protocol == Protocol::kZipkinGrpc
                                          ? exchange->request.headers.get("content-type")
                                          : "text/plain";
        http::Response response = http::error_reply(refused.reply, form);
        if (refused.reason == RefusalReason::kMethod)
            response.headers.add("allow", "POST, OPTIONS");
        send(exchange, std::move(response));
    }

    void refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status, int grpc_status,
                std::string text) {
        refuse(exchange, Refused{reason, {http_status, grpc_status, std::move(text), 0}});
    }

    void route_grpc(const ExchangePtr& exchange) {
        const http::Request& request = exchange->request;
        exchange->protocol = Protocol::kZipkinGrpc;
        if (!request.is_http2) return send(exchange, text_response(400, "gRPC needs HTTP/2\n"));
        if (request.path != kReportMethod || request.method != "POST")
            return refuse(
                exchange, RefusalReason::kPath, 404, 12,
                fmt::format("unknown method {}: spans go to {}",
                            replace_invalid_utf8(request.path.substr(0, 200)), kReportMethod));
        counts_.request(exchange->protocol, request.body.size());
        auto encoding = encoding_of(request.headers.get("grpc-encoding"));
        if (!encoding) return refuse(exchange, encoding.error());
        Result<http::GrpcMessage> frame = http::parse_grpc_body(request.body);
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
        if (request.path == "/" && (request.method == "GET" || request.method == "HEAD"))
            return send(exchange, text_response(200,
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
        exchange->protocol = type.starts_with("application/x-protobuf") ? Protocol::kZipkinProtobuf
                                                                        : Protocol::kZipkinJson;
        counts_.request(exchange->protocol, request.body.size());
        auto encoding = encoding_of(request.headers.get("content-encoding"));
        if (!encoding) return refuse(exchange, encoding.error());
        exchange->encoding = *encoding;
        dispatch(exchange);
    }

    void dispatch(const ExchangePtr& exchange) {
        if (exchange->request.body.size() <= kInlineBytesMax) return take_in(exchange);
        parts_.workers.post([self = shared_from_this(), exchange] { self->take_in(exchange); });
    }

    OrRefused<Batch> read(Exchange& exchange, uint64_t arrival_ns) {
        auto body = open_body(std::exchange(exchange.request.body, {}),
                              std::exchange(exchange.request.memory, nullptr), exchange.encoding,
                              options_.inflated_bytes_max, parts_.budget);
        if (!body) return tl::unexpected(std::move(body.error()));
        const bool has_type = exchange.request.headers.has("content-type");
        if (exchange.protocol == Protocol::kZipkinJson && !has_type && !body->bytes.empty() &&
            !looks_like_json(body->bytes.view()))
            exchange.protocol = Protocol::kZipkinProtobuf;
        const bool is_json = exchange.protocol == Protocol::kZipkinJson;
        body = convert_body(std::move(*body), kScratchPerByte, parts_.budget,
                            [is_json, arrival_ns](const Blob& sent) {
                                return is_json ? zipkin_json_to_otlp(sent.view(), arrival_ns)
                                               : zipkin_protobuf_to_otlp(sent, arrival_ns);
                            });
        if (!body) return tl::unexpected(std::move(body.error()));
        return decode_body(std::move(*body), options_.decode, parts_.budget);
    }

    http::Response success(const Exchange& exchange) const {
        if (exchange.protocol == Protocol::kZipkinGrpc) return http::grpc_reply({});
        http::Response response;
        response.status = 202;
        return response;
    }

    void take_in(const ExchangePtr& exchange) {
        const uint64_t arrival_ns = parts_.clock.wall_ns();
        OrRefused<Batch> batch = read(*exchange, arrival_ns);
        if (!batch) return refuse(exchange, batch.error());
        OrRefused<std::string> tenant =
            tenant_of(exchange->request.headers, options_.tenant_header);
        if (!tenant) return refuse(exchange, tenant.error());
        batch->tenant = std::move(*tenant);
        batch->arrival_ns = arrival_ns;
        counts_.spans(exchange->protocol, batch->spans.size(), batch->spans_rejected);
        if (batch->spans.empty()) return send(exchange, success(*exchange));
        auto done = [self = shared_from_this(), exchange,
                     spans = batch->spans.size()](Result<void> result) {
            if (!result) return self->refuse(exchange, Refused::storing(result.error()));
            self->counts_.accepted(exchange->protocol, spans);
            self->send(exchange, self->success(*exchange));
        };
        parts_.sink.accept(std::move(*batch), std::move(done));
    }

    const ReceiveParts parts_;
    const ReceiveOptions options_;
    const CorsPolicy cors_;
    ReceiveCounts counts_;
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
