#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/result.h"

namespace spanloom::send {

// Exponential back-off between the attempts of one export.
struct RetryPolicy {
    uint32_t initial_backoff_ms = 1'000;
    uint32_t backoff_ms_max = 5'000;
    double multiplier = 1.5;
    double jitter = 0.2;  // each wait is up to this share shorter or longer
    // A server may ask for more patience than the back-off, but not for more than this.
    uint32_t server_wait_ms_max = 30'000;
};

// The wait before attempt `attempt` (the first retry is 1). `server_wait_ms`: what the server asked
// for, if it did.
uint64_t backoff_ms(const RetryPolicy& policy, uint32_t attempt,
                    std::optional<uint64_t> server_wait_ms, Random& random);

// OTLP's lists of what may be sent again.
bool is_retryable_http(int status);
// RESOURCE_EXHAUSTED only where the server said when.
bool is_retryable_grpc(int status, std::optional<uint64_t> server_wait_ms);

ErrorCode error_code_of_http(int status);
ErrorCode error_code_of_grpc(int status);

// Retry-After: seconds, or an HTTP date (`now_s`: seconds since 1970).
std::optional<uint64_t> parse_retry_after_ms(std::string_view value, uint64_t now_s);
// The RetryInfo of a serialised google.rpc.Status.
std::optional<uint64_t> find_retry_info_ms(std::string_view rpc_status);

}  // namespace spanloom::send
