#include "receive/intake.h"

#include <algorithm>
#include <utility>

namespace spanloom {

bool is_media_type(std::string_view header, std::string_view type) {
    std::string_view name = header.substr(0, header.find(';'));
    while (name.ends_with(' '))
        name.remove_suffix(1);
    return name.size() == type.size() &&
           std::equal(name.begin(), name.end(), type.begin(), [](char a, char b) {
               return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
           });
}

http::Response text_response(int status, std::string_view text) {
    http::Response response;
    response.status = status;
    response.headers.add("content-type", "text/plain; charset=utf-8");
    response.body = text;
    return response;
}

Intake::Intake(ReceiveParts parts, ReceiveOptions options)
    : parts_(parts),
      options_(std::move(options)),
      cors_(options_.cors_origins),
      counts_(parts.metrics),
      admission_(parts, options_) {}

ExchangePtr Intake::exchange(http::Request request, std::shared_ptr<http::Responder> responder,
                             const IntakeForm& form) {
    auto exchange = std::make_shared<Exchange>();
    exchange->request = std::move(request);
    exchange->responder = std::move(responder);
    exchange->form = &form;
    return exchange;
}

void Intake::send(const ExchangePtr& exchange, http::Response response) {
    cors_.mark(exchange->request.headers.get("origin"), response);
    exchange->responder->send(std::move(response));
}

void Intake::refuse(const ExchangePtr& exchange, const Refused& refused) {
    counts_.refused(exchange->form->protocol, refused.reason);
    const std::string_view type =
        exchange->form->error_type.empty() ? exchange->content_type() : exchange->form->error_type;
    http::Response response = http::error_reply(refused.reply, type);
    if (refused.reason == RefusalReason::kEncoding)
        response.headers.add(
            exchange->request.is_grpc() ? "grpc-accept-encoding" : "accept-encoding",
            "identity, gzip, deflate, zstd");
    if (refused.reason == RefusalReason::kMethod) response.headers.add("allow", "POST, OPTIONS");
    send(exchange, std::move(response));
}

void Intake::refuse(const ExchangePtr& exchange, RefusalReason reason, int http_status,
                    int grpc_status, std::string text) {
    refuse(exchange, Refused{reason, {http_status, grpc_status, std::move(text), 0}});
}

void Intake::take_grpc(const ExchangePtr& exchange, const IntakeForm& form) {
    http::Request& request = exchange->request;
    exchange->form = &form;
    counts_.request(form.protocol, request.body.size());
    auto encoding = encoding_of(request.headers.get("grpc-encoding"));
    if (!encoding) return refuse(exchange, encoding.error());
    Result<http::GrpcMessage> frame = http::parse_grpc_body(request.body);
    if (!frame) return refuse(exchange, Refused::reading(frame.error()));
    if (frame->compressed && *encoding == http::Encoding::kIdentity)
        return refuse(exchange, RefusalReason::kMalformed, 400, 13,
                      "gRPC message is flagged as compressed, but grpc-encoding names nothing");
    exchange->encoding = frame->compressed ? *encoding : http::Encoding::kIdentity;
    request.body = std::move(frame->message);
    dispatch(exchange);
}

void Intake::take_http(const ExchangePtr& exchange, const IntakeForm& form) {
    exchange->form = &form;
    counts_.request(form.protocol, exchange->request.body.size());
    auto encoding = encoding_of(exchange->request.headers.get("content-encoding"));
    if (!encoding) return refuse(exchange, encoding.error());
    exchange->encoding = *encoding;
    dispatch(exchange);
}

void Intake::dispatch(const ExchangePtr& exchange) {
    const size_t inline_max = exchange->encoding == http::Encoding::kIdentity
                                  ? exchange->form->inline_bytes_max
                                  : exchange->form->inline_compressed_bytes_max;
    if (exchange->request.body.size() <= inline_max) return take_in(exchange);
    parts_.workers.post([self = shared_from_this(), exchange] { self->take_in(exchange); });
}

OrRefused<Batch> Intake::convert_and_decode(OpenBody body, const IntakeForm& form,
                                            uint64_t arrival_ns) {
    if (form.convert != nullptr) {
        auto converted = convert_body(std::move(body), form.scratch_per_byte, parts_.budget,
                                      [this, &form, arrival_ns](const Blob& sent) {
                                          return form.convert(sent, options_.decode, arrival_ns);
                                      });
        if (!converted) return tl::unexpected(std::move(converted.error()));
        body = std::move(*converted);
    }
    OrRefused<Batch> batch = decode_body(std::move(body), options_.decode, parts_.budget);
    if (!batch) return batch;
    batch->arrival_ns = arrival_ns;
    counts_.spans(form.protocol, batch->spans.size(), batch->spans_rejected);
    if (OrRefused<void> admitted = admission_.admit(*batch); !admitted)
        return tl::unexpected(std::move(admitted.error()));
    return batch;
}

OrRefused<Batch> Intake::read(Exchange& exchange, uint64_t arrival_ns) {
    auto body = open_body(std::exchange(exchange.request.body, {}),
                          std::exchange(exchange.request.memory, nullptr), exchange.encoding,
                          options_.inflated_bytes_max, parts_.budget);
    if (!body) return tl::unexpected(std::move(body.error()));
    if (exchange.form->recognise != nullptr) exchange.form = exchange.form->recognise(body->bytes);
    OrRefused<std::string> tenant = tenant_of(exchange.request.headers, options_.tenant_header);
    if (!tenant) return tl::unexpected(std::move(tenant.error()));
    OrRefused<Batch> batch = convert_and_decode(std::move(*body), *exchange.form, arrival_ns);
    if (batch) batch->tenant = std::move(*tenant);
    return batch;
}

void Intake::take_in(const ExchangePtr& exchange) {
    OrRefused<Batch> batch = read(*exchange, parts_.clock.wall_ns());
    if (!batch) return refuse(exchange, batch.error());
    const uint64_t rejected = batch->spans_rejected;
    if (batch->spans.empty())
        return send(exchange, exchange->form->success(rejected, batch->rejection));
    auto done = [self = shared_from_this(), exchange, spans = batch->spans.size(), rejected,
                 text = batch->rejection](Result<void> result) {
        if (!result) return self->refuse(exchange, Refused::storing(result.error()));
        self->counts_.accepted(exchange->form->protocol, spans);
        self->send(exchange, exchange->form->success(rejected, text));
    };
    parts_.sink.accept(std::move(*batch), std::move(done));
}

void Intake::take_datagram(std::string_view bytes, const IntakeForm& form) {
    counts_.request(form.protocol, bytes.size());
    auto memory = std::make_shared<Reservation>(
        Reservation::of(parts_.budget, std::max<size_t>(bytes.size(), 1)));
    if (!*memory) return counts_.refused(form.protocol, RefusalReason::kMemory);
    OrRefused<Batch> batch =
        convert_and_decode({Blob::copy_of(bytes), std::move(memory)}, form, parts_.clock.wall_ns());
    if (!batch) return counts_.refused(form.protocol, batch.error().reason);
    if (batch->spans.empty()) return;
    batch->tenant = "default";
    auto done = [self = shared_from_this(), &form,
                 spans = batch->spans.size()](Result<void> result) {
        if (result) {
            self->counts_.accepted(form.protocol, spans);
        } else {
            self->counts_.refused(form.protocol, Refused::storing(result.error()).reason);
        }
    };
    parts_.sink.accept(std::move(*batch), std::move(done));
}

}  // namespace spanloom
