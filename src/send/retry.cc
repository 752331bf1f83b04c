#include "send/retry.h"

#include <algorithm>
#include <string>

#include <time.h>

#include "base/text.h"
#include "send/proto_reader.h"

namespace spanloom::send {
namespace {

// Longer than anyone waits; keeps the arithmetic far from overflow.
constexpr uint64_t kWaitSecondsMax = 1'000'000;

}  // namespace

uint64_t backoff_ms(const RetryPolicy& policy, uint32_t attempt,
                    std::optional<uint64_t> server_wait_ms, Random& random) {
    double wait_ms = policy.initial_backoff_ms;
    for (uint32_t i = 1; i < attempt && wait_ms < policy.backoff_ms_max; ++i) {
        wait_ms *= policy.multiplier;
    }
    wait_ms = std::min<double>(wait_ms, policy.backoff_ms_max);
    wait_ms *= 1 + policy.jitter * (2 * random.unit() - 1);
    const uint64_t asked_ms =
        std::min<uint64_t>(server_wait_ms.value_or(0), policy.server_wait_ms_max);
    return std::max(static_cast<uint64_t>(wait_ms), asked_ms);
}

bool is_retryable_http(int status) {
    return status == 429 || status == 502 || status == 503 || status == 504;
}

bool is_retryable_grpc(int status, std::optional<uint64_t> server_wait_ms) {
    switch (status) {
        case 1:   // CANCELLED
        case 4:   // DEADLINE_EXCEEDED
        case 10:  // ABORTED
        case 11:  // OUT_OF_RANGE
        case 14:  // UNAVAILABLE
        case 15:  // DATA_LOSS
            return true;
        case 8:
            return server_wait_ms.has_value();  // RESOURCE_EXHAUSTED
        default:
            return false;
    }
}

ErrorCode error_code_of_http(int status) {
    switch (status) {
        case 400:
            return ErrorCode::kInvalidArgument;
        case 401:
        case 403:
            return ErrorCode::kPermissionDenied;
        case 404:
            return ErrorCode::kNotFound;
        case 413:
        case 429:
            return ErrorCode::kResourceExhausted;
        case 405:
        case 415:
            return ErrorCode::kUnsupported;
        case 502:
        case 503:
            return ErrorCode::kUnavailable;
        case 408:
        case 504:
            return ErrorCode::kDeadlineExceeded;
        default:
            return ErrorCode::kInternal;
    }
}

ErrorCode error_code_of_grpc(int status) {
    switch (status) {
        case 1:
            return ErrorCode::kCancelled;
        case 3:
        case 9:
        case 11:
            return ErrorCode::kInvalidArgument;
        case 4:
            return ErrorCode::kDeadlineExceeded;
        case 5:
            return ErrorCode::kNotFound;
        case 6:
            return ErrorCode::kAlreadyExists;
        case 7:
        case 16:
            return ErrorCode::kPermissionDenied;
        case 8:
            return ErrorCode::kResourceExhausted;
        case 12:
            return ErrorCode::kUnsupported;
        case 10:
        case 14:
            return ErrorCode::kUnavailable;
        case 15:
            return ErrorCode::kDataLoss;
        default:
            return ErrorCode::kInternal;
    }
}

std::optional<uint64_t> parse_retry_after_ms(std::string_view value, uint64_t now_s) {
    if (value.empty()) return std::nullopt;
    if (value.find_first_not_of("0123456789") == std::string_view::npos) {
        const std::optional<int64_t> seconds = parse_int(value);
        if (!seconds) return kWaitSecondsMax * 1'000;
        return std::min<uint64_t>(static_cast<uint64_t>(*seconds), kWaitSecondsMax) * 1'000;
    }
    tm parts = {};
    const std::string text(value);
    if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
    const time_t at = timegm(&parts);
    if (at <= 0 || static_cast<uint64_t>(at) <= now_s) return 0;
    return std::min<uint64_t>(static_cast<uint64_t>(at) - now_s, kWaitSecondsMax) * 1'000;
}

std::optional<uint64_t> find_retry_info_ms(std::string_view rpc_status) {
    for (ProtoReader status(rpc_status); status.next();) {
        if (status.field() != 3) continue;
        std::string_view type;
        std::string_view value;
        for (ProtoReader any(status.bytes()); any.next();) {
            if (any.field() == 1) type = any.bytes();
            if (any.field() == 2) value = any.bytes();
        }
        if (!ends_with(type, "/google.rpc.RetryInfo")) continue;
        uint64_t wait_ms = 0;
        for (ProtoReader info(value); info.next();) {
            if (info.field() != 1) continue;
            for (ProtoReader duration(info.bytes()); duration.next();) {
                if (duration.field() == 1) {
                    wait_ms += std::min(duration.number(), kWaitSecondsMax) * 1'000;
                } else if (duration.field() == 2) {
                    wait_ms += std::min<uint64_t>(duration.number(), 1'000'000'000) / 1'000'000;
                }
            }
        }
        return wait_ms;
    }
    return std::nullopt;
}

}  // namespace spanloom::send
