#include "receive/counts.h"

#include <string>

namespace spanloom {
namespace {

constexpr std::array<std::string_view, kProtocols> kProtocolNames = {
    "otlp-grpc",       "otlp-http-protobuf", "otlp-http-json", "zipkin-json",
    "zipkin-protobuf", "zipkin-grpc",        "jaeger-thrift",  "jaeger-grpc",
    "jaeger-compact",  "jaeger-binary",      "other"};
constexpr std::array<std::string_view, 12> kReasonNames = {
    "malformed", "too_large", "encoding", "content_type", "method",     "path",
    "signal",    "tenant",    "memory",   "quota",        "overloaded", "failed"};

}  // namespace

ReceiveCounts::ReceiveCounts(MetricsRegistry& registry) : registry_(registry) {
    for (size_t i = 0; i < series_.size(); ++i) {
        const Labels labels = {{"protocol", std::string(kProtocolNames[i])}};
        series_[i] = {
            &registry.counter("received_requests_total", "Requests that carry spans.", labels),
            &registry.counter("received_bytes_total", "Bytes of their bodies, as sent.", labels),
            &registry.counter("received_spans_total", "Spans found in them, good or not.", labels),
            &registry.counter("accepted_spans_total", "Spans acknowledged to their senders.",
                              labels),
            &registry.counter("rejected_spans_total",
                              "Spans that are malformed and were rejected one by one.", labels)};
    }
}

void ReceiveCounts::request(Protocol protocol, uint64_t bytes) {
    of(protocol).requests->add();
    of(protocol).bytes->add(bytes);
}

void ReceiveCounts::spans(Protocol protocol, uint64_t good, uint64_t rejected) {
    of(protocol).spans->add(good + rejected);
    of(protocol).rejected->add(rejected);
}

void ReceiveCounts::accepted(Protocol protocol, uint64_t spans) {
    of(protocol).accepted->add(spans);
}

void ReceiveCounts::refused(Protocol protocol, RefusalReason reason) {
    registry_
        .counter("refused_requests_total", "Requests refused as a whole, by reason.",
                 {{"protocol", std::string(kProtocolNames[static_cast<size_t>(protocol)])},
                  {"reason", std::string(kReasonNames[static_cast<size_t>(reason)])}})
        .add();
}

}  // namespace spanloom
