#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "otlp/tracestate.h"
#include "spanloom/span_context.h"

// Consistent probability sampling: trace/tracestate-probability-sampling.md of
// the specification. A span is kept where its trace's randomness R is at least
// the threshold T; both have 56 bits.
namespace spanloom::sdk {

constexpr uint64_t kThresholdEnd = uint64_t{1} << 56;  // keeps nothing
constexpr double kProbabilityMin = 0x1p-56;

// T of a probability in [2^-56, 1], rounded to four hexadecimal digits after
// its leading f's, as it is encoded: so that what is decided is what is said.
// kThresholdEnd below that range.
uint64_t threshold_of(double probability) noexcept;
double probability_of(uint64_t threshold) noexcept;
// As the sub-key `th` says it: no zeros at the end, "0" for everything.
std::string encode_threshold(uint64_t threshold);

// R of a trace: `rv` of its tracestate, else the last 7 bytes of its id.
uint64_t randomness_of(const TraceId& trace_id, const TraceState& state) noexcept;

// The tracestate with `th` set, or (absent) without it; other sub-keys of `ot`
// are kept. Where the member would be longer than its 256 bytes, `th` is left
// out and `fits` becomes false.
TraceState with_threshold(const TraceState& state, std::optional<uint64_t> threshold,
                          bool* fits = nullptr) noexcept;

// A parent's tracestate as its child has it: without a `th` that contradicts
// the sampled flag.
TraceState consistent_state(const SpanContext& parent) noexcept;

}  // namespace spanloom::sdk
