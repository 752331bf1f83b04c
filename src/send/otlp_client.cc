#include "send/otlp_client.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "send/connection.h"
#include "send/exchange.h"
#include "send/gzip.h"
#include "send/json_fields.h"
#include "send/proto_reader.h"
#include "send/request_json.h"

namespace spanloom::send {
namespace {

constexpr uint16_t kGrpcPort = 4317;
constexpr uint16_t kHttpPort = 4318;
constexpr std::string_view kGrpcPath =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
// Smaller requests do not pay for the compressor.
constexpr size_t kGzipBytesMin = 1'024;

ExportReply parse_json_reply(std::string_view body) {
    ExportReply reply;
    const std::string_view partial = json_object(body, "partialSuccess").value_or("");
    reply.rejected_spans = json_number(partial, "rejectedSpans").value_or(0);
    reply.message = json_text(partial, "errorMessage").value_or("");
    return reply;
}

Result<ExportReply> parse_reply(std::string_view body) {
    ExportReply reply;
    ProtoReader response(body);
    while (response.next()) {
        if (response.field() != 1) continue;
        ProtoReader partial(response.bytes());
        while (partial.next()) {
            if (partial.field() == 1) reply.rejected_spans = static_cast<int64_t>(partial.number());
            if (partial.field() == 2) reply.message = partial.bytes();
        }
    }
    if (response.is_damaged()) {
        return fail(ErrorCode::kInternal, "the server's answer is no ExportTraceServiceResponse");
    }
    return reply;
}

std::string_view content_type(Protocol protocol) {
    switch (protocol) {
        case Protocol::kGrpc:
            return "application/grpc";
        case Protocol::kHttpProtobuf:
            return "application/x-protobuf";
        case Protocol::kHttpJson:
            return "application/json";
    }
    return {};
}

class OtlpClientImpl final : public OtlpClient {
  public:
    OtlpClientImpl(OtlpClientOptions options, Endpoint endpoint, std::unique_ptr<TlsClient> tls,
                   const Clock& clock, Random& random)
        : options_(std::move(options)),
          clock_(clock),
          random_(random),
          connector_(std::move(endpoint), std::move(tls), clock_, interrupt_),
          process_(::getpid()) {
        ExchangeOptions exchange{std::string(content_type(options_.protocol)), options_.headers,
                                 options_.user_agent};
        exchange_ = options_.protocol == Protocol::kGrpc
                        ? make_grpc_exchange(std::move(exchange), connector_, clock_)
                        : make_http_exchange(std::move(exchange), connector_, clock_);
    }
    ~OtlpClientImpl() override { look_at_process(); }

    Result<ExportReply> export_spans(const Pieces& request, uint64_t deadline_ns) override;
    Attempt try_export(const Pieces& request, uint64_t deadline_ns) override;
    void interrupt() override { interrupt_.trigger(); }

  private:
    struct Body {
        Pieces bytes;
        Coding coding = Coding::kIdentity;
    };
    Result<Body> body_of(const Pieces& request, std::string& json, std::string& compressed) const;
    Attempt attempt(const Body& body, uint64_t deadline_ns);
    void look_at_process();

    OtlpClientOptions options_;
    const Clock& clock_;
    Random& random_;
    Interrupt interrupt_;
    Connector connector_;
    std::unique_ptr<Exchange> exchange_;
    pid_t process_;
};

void OtlpClientImpl::look_at_process() {
    if (process_ == ::getpid()) return;
    process_ = ::getpid();
    interrupt_.renew();
    connector_.after_fork();
    exchange_->after_fork();
}

// The request as it goes over the wire; what it points to lies in one of the texts, or where it
// was.
Result<OtlpClientImpl::Body> OtlpClientImpl::body_of(const Pieces& request, std::string& json,
                                                     std::string& compressed) const {
    if (request.size() > kRequestBytesMax) {
        return fail(ErrorCode::kResourceExhausted,
                    "a request of {} bytes is not sent: OTLP allows {}; export smaller batches",
                    request.size(), kRequestBytesMax);
    }
    Body body{request, Coding::kIdentity};
    if (options_.protocol == Protocol::kHttpJson) {
        TRY_ASSIGN(json, request_json(request));
        body.bytes = Pieces(json);
    }
    if (!options_.gzip || body.bytes.size() < kGzipBytesMin) return body;
    TRY_ASSIGN(compressed, compress_gzip(body.bytes));
    return Body{Pieces(compressed), Coding::kGzip};
}

Attempt OtlpClientImpl::attempt(const Body& body, uint64_t deadline_ns) {
    Attempt attempt;
    if (interrupt_.is_triggered()) {
        attempt.error =
            fail(ErrorCode::kCancelled, "sending to {} was interrupted", options_.endpoint).value();
        return attempt;
    }
    const uint64_t attempt_end_ns = clock_.monotonic_ns() + options_.timeout_ms * 1'000'000ULL;
    Result<Answer> answer =
        exchange_->call(body.bytes, body.coding, std::min(deadline_ns, attempt_end_ns));
    if (!answer) {
        attempt.error = std::move(answer).error();
        attempt.is_retryable = attempt.error.code == ErrorCode::kUnavailable ||
                               attempt.error.code == ErrorCode::kDeadlineExceeded;
        return attempt;
    }
    attempt.is_answered = true;
    if (answer->refusal) {
        attempt.error = std::move(*answer->refusal);
        attempt.is_retryable = answer->is_retryable;
        attempt.server_wait_ms = answer->server_wait_ms;
    } else {
        Result<ExportReply> reply =
            answer->is_json ? parse_json_reply(answer->body) : parse_reply(answer->body);
        if (reply) {
            attempt.reply = std::move(*reply);
        } else {
            attempt.error = std::move(reply).error();
        }
    }
    return attempt;
}

Attempt OtlpClientImpl::try_export(const Pieces& request, uint64_t deadline_ns) {
    look_at_process();
    std::string json;
    std::string compressed;
    Result<Body> body = body_of(request, json, compressed);
    if (body) return attempt(*body, deadline_ns);
    Attempt failed;
    failed.is_answered = true;
    failed.error = std::move(body).error();
    return failed;
}

Result<ExportReply> OtlpClientImpl::export_spans(const Pieces& request, uint64_t deadline_ns) {
    look_at_process();
    std::string json;
    std::string compressed;
    TRY_ASSIGN(const Body body, body_of(request, json, compressed));
    for (uint32_t attempts = 1;; ++attempts) {
        Attempt one = attempt(body, deadline_ns);
        if (one.reply) {
            one.reply->attempts = attempts;
            return std::move(*one.reply);
        }
        if (!one.is_retryable) return tl::unexpected(std::move(one.error));
        const uint64_t wait_ms = backoff_ms(options_.retry, attempts, one.server_wait_ms, random_);
        const uint64_t resume_ns = clock_.monotonic_ns() + wait_ms * 1'000'000;
        if (resume_ns >= deadline_ns) {
            one.error.message += fmt::format(" (given up after {} attempts)", attempts);
            return tl::unexpected(std::move(one.error));
        }
        interrupt_.wait_until(resume_ns, clock_);
    }
}

}  // namespace

Result<std::unique_ptr<OtlpClient>> OtlpClient::create(OtlpClientOptions options,
                                                       const Clock& clock, Random& random) {
    const bool is_grpc = options.protocol == Protocol::kGrpc;
    TRY_ASSIGN(Endpoint endpoint,
               parse_endpoint(options.endpoint, is_grpc ? kGrpcPort : kHttpPort));
    if (is_grpc) {
        endpoint.path = kGrpcPath;
    } else if (endpoint.path.empty()) {
        endpoint.path = "/v1/traces";
    }
    for (auto& [name, value] : options.headers) {
        for (char& c : name) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        }
        const bool is_bad = name.empty() || name.find_first_of(": \r\n\t") != std::string::npos ||
                            value.find_first_of("\r\n") != std::string::npos;
        if (is_bad) {
            return fail(ErrorCode::kInvalidArgument, "header '{}' is not a valid HTTP header",
                        name);
        }
    }
    std::unique_ptr<TlsClient> tls;
    if (endpoint.is_tls) {
        TRY_ASSIGN(tls, TlsClient::create(options.tls));
    }
    return std::unique_ptr<OtlpClient>(std::make_unique<OtlpClientImpl>(
        std::move(options), std::move(endpoint), std::move(tls), clock, random));
}

}  // namespace spanloom::send
