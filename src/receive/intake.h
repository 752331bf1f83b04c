#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"
#include "receive/admission.h"
#include "receive/body.h"
#include "receive/cors.h"
#include "receive/counts.h"
#include "receive/otlp_receiver.h"

namespace spanloom {

// How the requests of one protocol are read and answered. Lives as long as the program.
struct IntakeForm {
    Protocol protocol = Protocol::kOther;
    // The content type whose error form its senders read; empty: that of the request.
    std::string_view error_type = {};
    // Larger bodies are read by a worker, not on the io thread, where others wait.
    size_t inline_bytes_max = 0;
    size_t inline_compressed_bytes_max = 0;
    // To an ExportTraceServiceRequest, and what that takes meanwhile for each byte of the body.
    // Null: the body is one.
    Result<Blob> (*convert)(const Blob& sent, const otlp::DecodeLimits& limits,
                            uint64_t arrival_ns) = nullptr;
    size_t scratch_per_byte = 0;
    // The form of a body whose sender did not say it; null: this one.
    const IntakeForm* (*recognise)(const Blob& body) = nullptr;
    http::Response (*success)(uint64_t rejected, std::string_view why) = nullptr;
};

// One request on its way, until it is answered.
struct Exchange {
    http::Request request;
    std::shared_ptr<http::Responder> responder;
    const IntakeForm* form = nullptr;  // what is known of it so far
    http::Encoding encoding = http::Encoding::kIdentity;

    std::string_view content_type() const { return request.headers.get("content-type"); }
};
using ExchangePtr = std::shared_ptr<Exchange>;

// "application/json; charset=utf-8" and "Application/JSON" are both JSON.
bool is_media_type(std::string_view header, std::string_view type);
http::Response text_response(int status, std::string_view text);

// What every receiver does with a request once it knows what it is: inflate, convert, decode, hand
// to the sink, answer; and every refusal. Any thread.
class Intake : public std::enable_shared_from_this<Intake> {
  public:
    Intake(ReceiveParts parts, ReceiveOptions options);

    static ExchangePtr exchange(http::Request request, std::shared_ptr<http::Responder> responder,
                                const IntakeForm& form);

    void send(const ExchangePtr& exchange, http::Response response);
    void refuse(const ExchangePtr& exchange, const Refused& refused);
    void refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status, int grpc_status,
                std::string text);
    http::Response preflight(const http::Request& request) const {
        return cors_.preflight(request);
    }

    // The spans of a request of this form.
    void take_grpc(const ExchangePtr& exchange, const IntakeForm& form);
    void take_http(const ExchangePtr& exchange, const IntakeForm& form);
    // A datagram: nobody waits for an answer, so what is refused is only counted.
    void take_datagram(std::string_view bytes, const IntakeForm& form);

  private:
    void dispatch(const ExchangePtr& exchange);
    void take_in(const ExchangePtr& exchange);
    OrRefused<Batch> read(Exchange& exchange, uint64_t arrival_ns);
    OrRefused<Batch> convert_and_decode(OpenBody body, const IntakeForm& form, uint64_t arrival_ns);

    const ReceiveParts parts_;
    const ReceiveOptions options_;
    const CorsPolicy cors_;
    ReceiveCounts counts_;
    const Admission admission_;
};

}  // namespace spanloom
