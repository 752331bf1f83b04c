#include "http/server_metrics.h"

#include <algorithm>

namespace spanloom::http {
namespace {

constexpr std::array<std::string_view, kRefusalReasons> kReasonNames = {
    "connection_limit", "header_too_large", "body_too_large", "no_memory", "bad_request",
    "header_timeout",   "body_timeout",     "write_timeout",  "flood",     "tls_handshake",
    "accept_failed",
};
constexpr std::array<std::string_view, 3> kProtocolNames = {"http1", "http2", "grpc"};
constexpr std::array<std::string_view, 5> kClassNames = {"1xx", "2xx", "3xx", "4xx", "5xx"};

// gRPC answers 200 whatever happened; its own status tells the class.
int class_of_grpc(std::string_view status) {
    if (status.empty() || status == "0") return 2;
    static constexpr std::array<std::string_view, 9> kClientFaults = {"1", "3",  "5",  "6", "7",
                                                                      "9", "11", "12", "16"};
    const bool is_client =
        std::find(kClientFaults.begin(), kClientFaults.end(), status) != kClientFaults.end();
    return is_client ? 4 : 5;
}

}  // namespace

std::string_view refusal_reason_name(RefusalReason reason) {
    return kReasonNames[static_cast<size_t>(reason)];
}

EndpointMetrics::EndpointMetrics(MetricsRegistry& registry, const std::string& endpoint)
    : open_(std::make_shared<std::atomic<int64_t>>(0)) {
    for (size_t protocol = 0; protocol < kProtocolNames.size(); ++protocol) {
        for (size_t c = 0; c < kClasses; ++c) {
            requests_[protocol][c] = &registry.counter(
                "http_requests_total", "requests answered, by endpoint, protocol and status class",
                {{"endpoint", endpoint},
                 {"protocol", std::string(kProtocolNames[protocol])},
                 {"class", std::string(kClassNames[c])}});
        }
    }
    for (size_t reason = 0; reason < kRefusalReasons; ++reason) {
        refused_[reason] = &registry.counter(
            "http_refused_total", "requests and connections refused by the listener, by reason",
            {{"endpoint", endpoint}, {"reason", std::string(kReasonNames[reason])}});
    }
    connections_ = &registry.counter("http_connections_total", "connections accepted",
                                     {{"endpoint", endpoint}});
    received_bytes_ =
        &registry.counter("http_received_bytes_total", "bytes read from clients, before TLS",
                          {{"endpoint", endpoint}});
    sent_bytes_ = &registry.counter("http_sent_bytes_total", "bytes written to clients, before TLS",
                                    {{"endpoint", endpoint}});
    registry.gauge(
        "http_connections_open", "connections open now",
        [open = open_] { return static_cast<double>(open->load(std::memory_order_relaxed)); },
        {{"endpoint", endpoint}});
}

void EndpointMetrics::answered(Protocol protocol, const Response& response) {
    int status_class = response.status / 100;
    if (protocol == Protocol::kGrpc) {
        const std::string_view in_header = response.headers.get("grpc-status");
        status_class =
            class_of_grpc(in_header.empty() ? response.trailers.get("grpc-status") : in_header);
    }
    const size_t c = static_cast<size_t>(std::clamp(status_class, 1, 5)) - 1;
    requests_[static_cast<size_t>(protocol)][c]->add();
}

}  // namespace spanloom::http
