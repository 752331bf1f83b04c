#include "receive/body.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace spanloom {
namespace {

// Telemetry rarely shrinks further than this; what does is inflated a second time.
constexpr size_t kUsualRatio = 16;
constexpr size_t kUsualBytesMin = 64U << 10;
constexpr uint32_t kRetryAfterS = 1;
constexpr size_t kTenantBytesMax = 64;
// Of a sender's own words in our replies.
constexpr size_t kQuotedBytesMax = 40;

std::string quote(std::string_view text) {
    return replace_invalid_utf8(text.substr(0, kQuotedBytesMax));
}

}  // namespace

Refused Refused::malformed(std::string text) {
    return {RefusalReason::kMalformed, {400, 3, std::move(text), 0}};
}

// gRPC clients take RESOURCE_EXHAUSTED without RetryInfo as final, which this is.
Refused Refused::too_large(std::string text) {
    return {RefusalReason::kTooLarge, {413, 8, std::move(text), 0}};
}

Refused Refused::unsupported_encoding(std::string_view encoding) {
    return {RefusalReason::kEncoding,
            {415, 12,
             fmt::format("encoding \"{}\" is not supported: use gzip, deflate, zstd or none",
                         quote(encoding)),
             0}};
}

Refused Refused::no_memory(const MemoryBudget& budget, size_t bytes) {
    if (bytes > budget.limit_bytes())
        return too_large(
            fmt::format("request needs {} of memory, more than the whole budget of {}: "
                        "send smaller requests",
                        format_bytes(bytes), format_bytes(budget.limit_bytes())));
    return {RefusalReason::kMemory,
            {503, 14, "no memory left for more requests at the moment: try again", kRetryAfterS}};
}

Refused Refused::reading(const Error& error) {
    if (error.code == ErrorCode::kResourceExhausted) return too_large(error.message);
    Refused refused = malformed(error.message);
    refused.reply.http_status = http_status(error.code);
    refused.reply.grpc_status = grpc_status(error.code);
    return refused;
}

Refused Refused::storing(const Error& error) {
    Refused refused{
        RefusalReason::kFailed,
        {http_status(error.code), grpc_status(error.code), error.message, error.retry_after_s}};
    if (error.code == ErrorCode::kResourceExhausted || error.code == ErrorCode::kUnavailable) {
        refused.reason = RefusalReason::kOverloaded;
        refused.reply.retry_after_s = std::max(error.retry_after_s, kRetryAfterS);
    }
    return refused;
}

OrRefused<http::Encoding> encoding_of(std::string_view name) {
    if (name.empty() || name == "identity") return http::Encoding::kIdentity;
    if (name.find(',') != std::string_view::npos)
        return tl::unexpected(Refused::malformed(
            fmt::format("body is encoded more than once (\"{}\"): encode it once", quote(name))));
    auto encoding = http::parse_encoding(name);
    if (!encoding) return tl::unexpected(Refused::unsupported_encoding(name));
    return *encoding;
}

OrRefused<OpenBody> open_body(Blob sent, std::shared_ptr<Reservation> memory,
                              http::Encoding encoding, size_t inflated_bytes_max,
                              MemoryBudget& budget) {
    if (encoding == http::Encoding::kIdentity) {
        if (sent.size() > inflated_bytes_max)
            return tl::unexpected(Refused::too_large(
                fmt::format("request of {} is larger than the limit of {}: send smaller requests",
                            format_bytes(sent.size()), format_bytes(inflated_bytes_max))));
        if (memory == nullptr && !sent.empty()) {
            Reservation own = Reservation::of(budget, sent.size());
            if (!own) return tl::unexpected(Refused::no_memory(budget, sent.size()));
            memory = std::make_shared<Reservation>(std::move(own));
        }
        return OpenBody{std::move(sent), std::move(memory)};
    }
    // Reserving the limit for every small request would leave room for few of them at a time.
    const size_t usual =
        std::min(std::max(sent.size() * kUsualRatio, kUsualBytesMin), inflated_bytes_max);
    for (const size_t bytes_max : {usual, inflated_bytes_max}) {
        Reservation reserved = Reservation::of(budget, bytes_max);
        if (!reserved) return tl::unexpected(Refused::no_memory(budget, bytes_max));
        Result<Blob> inflated = http::inflate(encoding, sent, bytes_max);
        if (inflated) {
            reserved.shrink(std::max<size_t>(inflated->size(), 1));
            return OpenBody{std::move(*inflated),
                            std::make_shared<Reservation>(std::move(reserved))};
        }
        const bool may_fit = inflated.error().code == ErrorCode::kResourceExhausted &&
                             bytes_max < inflated_bytes_max;
        if (!may_fit) return tl::unexpected(Refused::reading(inflated.error()));
    }
    return tl::unexpected(Refused::too_large("request is larger than the limit"));
}

OrRefused<Batch> decode_body(OpenBody body, const otlp::DecodeLimits& limits,
                             MemoryBudget& budget) {
    Result<Batch> batch = otlp::decode(std::move(body.bytes), limits);
    if (!batch) return tl::unexpected(Refused::reading(batch.error()));
    const size_t table_bytes = batch->spans.capacity() * sizeof(SpanRef) +
                               batch->scopes.capacity() * sizeof(ScopeRef) +
                               batch->resources.capacity() * sizeof(ResourceRef);
    if (body.memory != nullptr && table_bytes > 0 && !body.memory->grow(table_bytes))
        return tl::unexpected(Refused::no_memory(budget, table_bytes));
    batch->memory = std::move(body.memory);
    return std::move(*batch);
}

OrRefused<std::string> tenant_of(const http::Headers& headers, const std::string& header) {
    const std::string_view name = header.empty() ? std::string_view() : headers.get(header);
    if (name.empty()) return std::string("default");
    const bool is_good = name.size() <= kTenantBytesMax && name.front() != '.' &&
                         std::all_of(name.begin(), name.end(), [](char c) {
                             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                         });
    if (is_good) return std::string(name);
    return tl::unexpected(Refused{
        RefusalReason::kTenant,
        {400, 3,
         fmt::format("tenant \"{}\" in header {}: write 1 to {} letters, digits, '-', '_' or '.'",
                     quote(name), header, kTenantBytesMax),
         0}});
}

}  // namespace spanloom
