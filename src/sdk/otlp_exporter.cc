#include "spanloom/otlp_exporter.h"

#include <algorithm>
#include <exception>
#include <string>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/random.h"
#include "sdk/export_problems.h"
#include "sdk/otlp_request.h"
#include "send/otlp_client.h"

namespace spanloom {
namespace {

send::Protocol protocol_of(OtlpProtocol protocol) {
    switch (protocol) {
        case OtlpProtocol::kGrpc:
            return send::Protocol::kGrpc;
        case OtlpProtocol::kHttpJson:
            return send::Protocol::kHttpJson;
        case OtlpProtocol::kHttpProtobuf:
            break;
    }
    return send::Protocol::kHttpProtobuf;
}

std::string endpoint_of(const OtlpOptions& options) {
    const bool is_grpc = options.protocol == OtlpProtocol::kGrpc;
    if (options.endpoint.empty()) {
        return is_grpc ? "http://localhost:4317" : "http://localhost:4318";
    }
    if (!is_grpc || options.endpoint.find("://") != std::string::npos) return options.endpoint;
    return "https://" + options.endpoint;
}

send::OtlpClientOptions client_options(OtlpOptions& options) {
    send::OtlpClientOptions client;
    client.endpoint = endpoint_of(options);
    client.protocol = protocol_of(options.protocol);
    client.timeout_ms =
        static_cast<uint32_t>(std::min<uint64_t>(options.timeout.ns / 1'000'000, UINT32_MAX));
    client.gzip = options.compression == OtlpCompression::kGzip;
    client.headers = std::move(options.headers);
    client.tls = {options.certificate_file, options.client_certificate_file,
                  options.client_key_file};
    return client;
}

// Its client is used by one exporting call at a time; `shutdown` comes from any thread.
class OtlpExporter final : public SpanExporter {
  public:
    OtlpExporter(OtlpOptions options, std::string* problem)
        : random_(random_seed()),
          problems_(options.on_problem, options.on_problem_user),
          request_bytes_max_(std::min(options.request_bytes_max, send::kRequestBytesMax)) {
        auto client = send::OtlpClient::create(client_options(options), clock_, random_);
        if (client) {
            client_ = std::move(*client);
            return;
        }
        problems_.report(client.error().message);
        if (problem != nullptr) *problem = client.error().message;
    }

    ExportResult export_spans(const SpanBatch& batch, Deadline deadline) noexcept override {
        if (client_ == nullptr || batch.span_count == 0) {
            return client_ == nullptr ? ExportResult::failure() : ExportResult::success();
        }
        try {
            if (request_bytes_bound(batch) <= request_bytes_max_) return send(batch, deadline);
            return send_in_parts(batch, deadline);
        } catch (const std::exception& error) {
            problems_.report(error.what());
            return ExportResult::failure();
        }
    }
    bool shutdown(Deadline) noexcept override {
        if (client_ != nullptr) client_->interrupt();
        return true;
    }

  private:
    ExportResult send(const SpanBatch& batch, Deadline deadline);
    ExportResult send_in_parts(const SpanBatch& batch, Deadline deadline);

    SystemClock clock_;
    SeededRandom random_;
    ExportProblems problems_;
    size_t request_bytes_max_;
    OtlpRequest request_;
    std::unique_ptr<send::OtlpClient> client_;
};

ExportResult OtlpExporter::send(const SpanBatch& batch, Deadline deadline) {
    const auto reply = client_->export_spans(request_.build(batch), deadline.monotonic_ns());
    if (!reply) {
        if (reply.error().code != ErrorCode::kCancelled) {
            problems_.report(
                fmt::format("cannot export {} spans: {}", batch.span_count, reply.error().message));
        }
        return reply.error().code == ErrorCode::kDeadlineExceeded ? ExportResult::timeout()
                                                                  : ExportResult::failure();
    }
    const auto rejected = static_cast<uint64_t>(
        std::clamp<int64_t>(reply->rejected_spans, 0, static_cast<int64_t>(batch.span_count)));
    if (rejected > 0 || !reply->message.empty()) {
        problems_.report(fmt::format("the receiver rejected {} of {} spans: {}", rejected,
                                     batch.span_count, reply->message));
    }
    return ExportResult::success(rejected);
}

ExportResult OtlpExporter::send_in_parts(const SpanBatch& batch, Deadline deadline) {
    size_t refused = 0;
    const std::vector<std::vector<SpanGroup>> parts =
        split_batch(batch, request_bytes_max_, refused);
    if (refused > 0) {
        problems_.report(fmt::format("{} spans are larger than a request may be ({} bytes)",
                                     refused, request_bytes_max_));
    }
    ExportResult last = ExportResult::failure();
    uint64_t lost = refused;
    for (const std::vector<SpanGroup>& groups : parts) {
        const SpanBatch part = batch_of(batch, groups);
        last = send(part, deadline);
        const bool is_sent = last.status == ExportResult::Status::kSuccess;
        lost += is_sent ? last.rejected_spans : part.span_count;
    }
    return lost < batch.span_count ? ExportResult::success(lost) : last;
}

}  // namespace

std::shared_ptr<SpanExporter> make_otlp_exporter(OtlpOptions options, std::string* problem) {
    return std::make_shared<OtlpExporter>(std::move(options), problem);
}

}  // namespace spanloom
