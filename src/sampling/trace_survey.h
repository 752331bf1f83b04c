#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sampling/keep_rules.h"
#include "store/search.h"

namespace spanloom::sampling {

// What a rule, or a preview, tells traces apart by: values of their roots, as numbers.
struct TraceKeys {
    std::vector<std::string> by;      // as rules write it
    std::vector<uint32_t> number_of;  // by trace
    std::vector<std::string> texts;   // by number
};

// What is known of each of some traces, and which rules' queries find them. A plain table, one row
// for each trace.
struct SurveyedTraces {
    static constexpr uint32_t kNoKeys = UINT32_MAX;

    std::vector<TraceId> ids;
    std::vector<uint64_t> randomness;
    std::vector<uint64_t> start_ns;
    std::vector<uint64_t> duration_ns;
    std::vector<uint32_t> spans;
    std::vector<uint8_t> has_error;
    std::vector<uint64_t> bytes;                // their share of the files that were looked at
    std::vector<std::vector<uint8_t>> matches;  // by rule; empty where it has no query
    std::vector<TraceKeys> keys;                // the first: services of the roots
    std::vector<uint32_t> keys_of_rule;         // which of `keys`, or kNoKeys

    size_t size() const { return ids.size(); }
};

struct SurveyLimits {
    size_t memory_bytes_max = 128U << 20;       // of rows decoded at a time, for each rule
    std::function<bool()> stop;                 // asked now and then; kCancelled where it says so
    std::function<bool(const TraceId&)> wants;  // which traces; none: all of them
};

// Looks at the whole of each trace that `segments` hold spans of; what `others` hold of them
// belongs to them as well. Where a trace lies in one segment alone it is judged by that segment's
// columns.
Result<SurveyedTraces> survey_traces(store::Segments segments, store::Segments others,
                                     const KeepRules& rules, const SurveyLimits& limits);

}  // namespace spanloom::sampling
