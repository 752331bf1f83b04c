#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sampling/keep_rules.h"
#include "send/otlp_client.h"

namespace spanloom::sampling {

// One place that traces are forwarded to, and which.
struct ForwardOptions {
    std::string name;      // of its directory and its metrics
    std::string endpoint;  // "http://host:port" or https://
    send::Protocol protocol = send::Protocol::kGrpc;
    std::vector<std::pair<std::string, std::string>> headers;
    send::TlsOptions tls;
    bool gzip = false;
    uint64_t wait_ms = 30'000;  // after the first span of a trace
    KeepRules rules;            // what it gets; by default everything
    uint64_t dead_letter_bytes_max = 64U << 20;
    uint64_t history_bytes_max = 64U << 20;
};

constexpr size_t kForwardTargetsMax = 16;

// [{"endpoint": "host:4317", "protocol": "grpc", "wait": "30s", "keep": [...]}, ...]. An error says
// which target and which of its settings is wrong.
Result<std::vector<ForwardOptions>> parse_forward_list(std::string_view json);
// For people: without what headers hold.
std::string print_forward_list(const std::vector<ForwardOptions>& targets);

}  // namespace spanloom::sampling
