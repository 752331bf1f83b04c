#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/memory_budget.h"
#include "base/result.h"
#include "http/compression.h"
#include "http/message.h"
#include "otlp/batch.h"
#include "receive/counts.h"

namespace spanloom {

// Why a request goes no further, and what its sender is told.
struct Refused {
    RefusalReason reason = RefusalReason::kMalformed;
    http::Refusal reply;

    static Refused malformed(std::string text);
    static Refused too_large(std::string text);
    static Refused unsupported_encoding(std::string_view encoding);
    static Refused no_memory(const MemoryBudget& budget, size_t bytes);
    // A failure to read what was sent: limits are the sender's to keep, so no retry is suggested.
    static Refused reading(const Error& error);
    // A failure of what comes after us: overload passes, so the sender is told to come back.
    static Refused storing(const Error& error);
};

template <typename T>
using OrRefused = tl::expected<T, Refused>;

// A body ready to be parsed, and what it counts for.
struct OpenBody {
    Blob bytes;
    std::shared_ptr<Reservation> memory;
};

// The name of a content-encoding or grpc-encoding; "" is identity.
OrRefused<http::Encoding> encoding_of(std::string_view name);

// Inflates where needed. What comes out is reserved from the budget before it is allocated.
OrRefused<OpenBody> open_body(Blob sent, std::shared_ptr<Reservation> memory,
                              http::Encoding encoding, size_t inflated_bytes_max,
                              MemoryBudget& budget);

// Runs `convert` (which gives Result<Blob>) on a body in another format, with room reserved for the
// parser's tables meanwhile.
template <typename Convert>
OrRefused<OpenBody> convert_body(OpenBody body, size_t scratch_per_byte, MemoryBudget& budget,
                                 Convert convert) {
    const size_t scratch_bytes = scratch_per_byte * body.bytes.size() + 1;
    Reservation scratch = Reservation::of(budget, scratch_bytes);
    if (!scratch) return tl::unexpected(Refused::no_memory(budget, scratch_bytes));
    Result<Blob> converted = convert(body.bytes);
    if (!converted) return tl::unexpected(Refused::reading(converted.error()));
    OpenBody out{std::move(*converted), std::make_shared<Reservation>(std::move(scratch))};
    out.memory->shrink(std::max<size_t>(out.bytes.size(), 1));
    return out;
}

// Decodes and takes over the reservation; the batch's tables are counted too.
OrRefused<Batch> decode_body(OpenBody body, const otlp::DecodeLimits& limits, MemoryBudget& budget);

// The tenant a request belongs to: "default" where no header is configured or sent.
OrRefused<std::string> tenant_of(const http::Headers& headers, const std::string& header);

}  // namespace spanloom
