#include "send/otlp_client.h"

#include <algorithm>

#include <fmt/format.h>

#include "http/compression.h"
#include "send/exchange.h"
#include "send/proto_reader.h"

namespace spanloom::send {
namespace {

constexpr uint16_t kGrpcPort = 4317;
constexpr uint16_t kHttpPort = 4318;
constexpr std::string_view kGrpcPath =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
// Smaller requests do not pay for the compressor.
constexpr size_t kGzipBytesMin = 1'024;

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

class OtlpClientImpl final : public OtlpClient {
  public:
    OtlpClientImpl(OtlpClientOptions options, Endpoint endpoint, const Clock& clock, Random& random)
        : options_(std::move(options)), clock_(clock), random_(random) {
        ExchangeOptions exchange{std::move(endpoint), options_.headers, options_.user_agent};
        exchange_ = options_.protocol == Protocol::kGrpc
                        ? make_grpc_exchange(std::move(exchange), clock_, interrupt_)
                        : make_http_exchange(std::move(exchange), clock_, interrupt_);
    }

    Result<ExportReply> export_spans(std::string_view request, uint64_t deadline_ns) override;
    void interrupt() override { interrupt_.trigger(); }

  private:
    Result<Answer> attempt(std::string_view body, Coding coding, uint64_t deadline_ns);

    OtlpClientOptions options_;
    const Clock& clock_;
    Random& random_;
    Interrupt interrupt_;
    std::unique_ptr<Exchange> exchange_;
};

Result<Answer> OtlpClientImpl::attempt(std::string_view body, Coding coding, uint64_t deadline_ns) {
    const uint64_t attempt_end_ns = clock_.monotonic_ns() + options_.timeout_ms * 1'000'000ULL;
    return exchange_->call(body, coding, std::min(deadline_ns, attempt_end_ns));
}

Result<ExportReply> OtlpClientImpl::export_spans(std::string_view request, uint64_t deadline_ns) {
    std::string compressed;
    Coding coding = Coding::kIdentity;
    if (options_.gzip && request.size() >= kGzipBytesMin) {
        TRY_ASSIGN(compressed, http::compress_gzip(request));
        coding = Coding::kGzip;
        request = compressed;
    }
    for (uint32_t attempts = 1;; ++attempts) {
        if (interrupt_.is_triggered()) {
            return fail(ErrorCode::kCancelled, "sending to {} was interrupted", options_.endpoint);
        }
        Result<Answer> answer = attempt(request, coding, deadline_ns);
        if (answer && !answer->refusal) {
            TRY_ASSIGN(ExportReply reply, parse_reply(answer->body));
            reply.attempts = attempts;
            return reply;
        }
        Error error = answer ? *answer->refusal : answer.error();
        const bool is_final = answer ? !answer->is_retryable
                                     : error.code != ErrorCode::kUnavailable &&
                                           error.code != ErrorCode::kDeadlineExceeded;
        if (is_final) return tl::unexpected(std::move(error));
        const uint64_t wait_ms = backoff_ms(
            options_.retry, attempts, answer ? answer->server_wait_ms : std::nullopt, random_);
        const uint64_t resume_ns = clock_.monotonic_ns() + wait_ms * 1'000'000;
        if (resume_ns >= deadline_ns) {
            error.message += fmt::format(" (given up after {} attempts)", attempts);
            return tl::unexpected(std::move(error));
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
    return std::unique_ptr<OtlpClient>(
        std::make_unique<OtlpClientImpl>(std::move(options), std::move(endpoint), clock, random));
}

}  // namespace spanloom::send
