#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "otlp/batch.h"

// Requests written anew: with what is too large cut, or without some of their spans.
namespace spanloom {

// What one span, event, link or resource may have. What is over is cut or dropped, never the span.
struct SpanLimits {
    uint32_t attributes_max = 1'024;
    uint32_t value_bytes_max = 64U << 10;  // texts and bytes are cut, other values dropped
    uint32_t key_bytes_max = 4U << 10;     // an attribute with a longer key is dropped
};

struct CutCounts {
    uint64_t spans = 0;       // in which something was cut
    uint64_t attributes = 0;  // dropped; they are in the span's dropped count
    uint64_t values = 0;      // cut
};

// Whether anything of the batch is beyond the limits. Cheap where spans are small.
bool exceeds(const Batch& batch, const SpanLimits& limits);

// The batch with bytes of its own: the spans that `keeps` (none: all), within the limits. Fails
// only where the result could not be read again, which would be a fault of ours.
Result<Batch> rewrite(const Batch& batch, const std::function<bool(uint32_t)>& keeps,
                      const SpanLimits& limits, const otlp::DecodeLimits& decode,
                      CutCounts& counts);

}  // namespace spanloom
