#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/memory_budget.h"
#include "base/metrics.h"
#include "http/message.h"
#include "otlp/batch.h"
#include "receive/quota.h"
#include "receive/span_limits.h"

namespace spanloom {

// What every receiver is told by the configuration.
struct ReceiveOptions {
    size_t inflated_bytes_max = 64U << 20;  // of one request after decompression
    otlp::DecodeLimits decode;
    SpanLimits span_limits;
    std::vector<std::string> cors_origins;  // whose pages may send; see CorsPolicy
    std::string tenant_header;              // lower case; empty: all is tenant "default"
};

// What every receiver works with. All outlive the handler.
struct ReceiveParts {
    Sink& sink;
    const Clock& clock;
    MemoryBudget& budget;  // the one the server reserves bodies from
    MetricsRegistry& metrics;
    Executor& workers;  // large bodies are inflated and decoded here, small ones where they arrive
    ServiceQuotas* quotas = nullptr;  // none: every service sends as much as it likes
};

// Takes OTLP/gRPC and OTLP/HTTP (protobuf and JSON) on one port. Everything the port is asked is
// answered, what is not for it included. The reply goes out when the sink says that the spans are
// durable. Any number of threads may call the handler.
http::Handler make_otlp_handler(ReceiveParts parts, ReceiveOptions options);

}  // namespace spanloom
