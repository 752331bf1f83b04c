#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "otlp/ids.h"

namespace spanloom::otlp {

// More than one span in a million is not thrown away by any honest sampler: a higher count is
// taken as this much, so that one forged `th` cannot own every chart.
constexpr double kAdjustedCountMax = 1'000'000;
constexpr uint64_t kThresholdEnd = 1ULL << 56;  // nothing reaches it

// What the `ot` member of a W3C tracestate says about sampling; 56-bit numbers. A sub-key that is
// malformed counts as absent.
struct SamplingState {
    std::optional<uint64_t> threshold;   // th: kept where the randomness is at least this
    std::optional<uint64_t> randomness;  // rv: used in place of the trace id's last 7 bytes

    static SamplingState parse(std::string_view tracestate);
};

// How many spans one stands for.
struct AdjustedCount {
    double value = 1;
    bool is_known = false;   // a valid `th` was there
    bool is_capped = false;  // it asked for more than kAdjustedCountMax
};
AdjustedCount adjusted_count(std::string_view tracestate);
AdjustedCount adjusted_count(uint64_t threshold);  // below kThresholdEnd

// The tracestate with this threshold in its `ot` member, which comes first then; as it is where it
// has a stricter one, or where there is no room for it.
std::string raise_threshold(std::string_view tracestate, uint64_t threshold);

// The 56 random bits of a W3C level 2 trace id: its last 7 bytes.
uint64_t randomness_of(const TraceId& id);

}  // namespace spanloom::otlp
